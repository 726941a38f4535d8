"""Load balancers, their listeners, rules and target groups."""

from case import Case, control, eventually


class Balancers(Case):
    def setUp(self):
        super().setUp()
        self.arns = {}

    def make(self, *names, **more):
        for name in names:
            self.arns[name] = self.target_group(name, **more)

    def test_rules_keep_weights_conditions_and_tags(self):
        self.make("blue", "green")
        rule = self.rule(self.forward(blue=100), Tags=[{"Key": "ionroller:service", "Value": "svc"}])
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(blue=95, green=5))
        shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]
        weights = {one["TargetGroupArn"]: one["Weight"] for one in shown["Actions"][0]["ForwardConfig"]["TargetGroups"]}
        self.assertEqual(weights, {self.arns["blue"]: 95, self.arns["green"]: 5})
        self.assertNotIn("TargetGroupArn", shown["Actions"][0])
        self.assertEqual(shown["Conditions"][0]["HostHeaderConfig"]["Values"], ["a.example"])
        self.assertEqual(shown["Conditions"][0]["Values"], ["a.example"])
        tags = self.elb.describe_tags(ResourceArns=[rule])["TagDescriptions"][0]["Tags"]
        self.assertEqual(tags, [{"Key": "ionroller:service", "Value": "svc"}])
        self.elb.modify_rule(RuleArn=rule, Conditions=[{"Field": "path-pattern", "Values": ["/x"]}], Actions=self.forward(green=1))
        shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]
        self.assertEqual((shown["Priority"], shown["Conditions"][0]["PathPatternConfig"]["Values"]), ("10", ["/x"]))

    def test_a_single_forward_shows_both_forms(self):
        self.make("blue")
        arn = self.arns["blue"]
        for action in ({"Type": "forward", "TargetGroupArn": arn}, self.forward(blue=1)[0]):
            rule = self.rule([action])
            shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"][0]
            self.assertEqual(shown["TargetGroupArn"], arn)
            self.assertEqual(shown["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": arn, "Weight": 1}])
            self.elb.delete_rule(RuleArn=rule)
        self.elb.modify_listener(ListenerArn=self.world["listener_arn"], DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}])
        shown = self.elb.describe_listeners(ListenerArns=[self.world["listener_arn"]])["Listeners"][0]["DefaultActions"][0]
        self.assertEqual(shown["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": arn, "Weight": 1}])

    def test_quotas(self):
        self.make(*"abcdef")
        self.refused("ValidationError", self.rule, actions=self.forward(a=1000))
        self.refused("TargetGroupAssociationLimit", self.rule, actions=self.forward(a=1, b=1, c=1, d=1, e=1, f=1))
        rule = self.rule(self.forward(a=999))
        self.refused("ValidationError", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1000))
        self.refused("ValidationError", self.elb.modify_listener, ListenerArn=self.world["listener_arn"], DefaultActions=self.forward(a=1000))
        control("POST", "settings", {"max_rules_per_load_balancer": 1})
        self.refused("TooManyRules", self.rule, actions=self.forward(a=1), priority=11)
        control("POST", "settings", {"max_target_groups_per_load_balancer": 1})
        self.refused("TooManyUniqueTargetGroupsPerLoadBalancer", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1, b=1))

    def test_one_load_balancer_per_target_group(self):
        self.make("a")
        self.rule(self.forward(a=1))
        other = self.elb.create_load_balancer(Name="other", Subnets=self.world["subnet_ids"])["LoadBalancers"][0]["LoadBalancerArn"]
        params = {"LoadBalancerArn": other, "Protocol": "HTTP", "Port": 80}
        self.refused("TargetGroupAssociationLimit", self.elb.create_listener, DefaultActions=self.forward(a=1), **params)
        self.rule(self.forward(a=1), listener=self.world["listeners"]["8080"])

    def test_priorities(self):
        self.make("a")
        rule = self.rule(self.forward(a=1), priority=20)
        self.refused("PriorityInUse", self.rule, actions=self.forward(a=1), priority=20)
        self.rule(self.forward(a=1), priority=3)
        shown = self.elb.describe_rules(ListenerArn=self.world["listener_arn"])["Rules"]
        self.assertEqual([one["Priority"] for one in shown], ["3", "20", "default"])
        default = shown[-1]["RuleArn"]
        self.refused("OperationNotPermitted", self.elb.modify_rule, RuleArn=default, Actions=self.forward(a=1))
        self.refused("OperationNotPermitted", self.elb.delete_rule, RuleArn=default)
        self.elb.delete_rule(RuleArn=rule)
        self.refused("RuleNotFound", self.elb.delete_rule, RuleArn=rule)
        self.refused("RuleNotFound", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1))

    def test_true_pages(self):
        names = [f"tg-{number}" for number in range(5)]
        self.make(*names)
        for number, name in enumerate(names):
            self.rule(self.forward(**{name: 1}), priority=100 - number)
        pages = self.elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 4})
        self.assertEqual([len(one["TargetGroups"]) for one in pages], [4, 2])
        rules = self.elb.describe_rules(ListenerArn=self.world["listener_arn"], PageSize=4)
        self.assertEqual([one["Priority"] for one in rules["Rules"]], ["96", "97", "98", "99"])
        rules = self.elb.describe_rules(ListenerArn=self.world["listener_arn"], PageSize=4, Marker=rules["NextMarker"])
        self.assertEqual([one["Priority"] for one in rules["Rules"]], ["100", "default"])
        self.assertNotIn("NextMarker", rules)
        page = self.elb.describe_listeners(LoadBalancerArn=self.world["load_balancer_arn"], PageSize=1)
        self.assertEqual(len(page["Listeners"]), 1)
        self.assertIn("NextMarker", page)

    def test_one_unknown_fails_the_whole_call(self):
        self.make("a")
        rule = self.rule(self.forward(a=1))
        self.refused("TargetGroupNotFound", self.elb.describe_target_groups, Names=["a", "b"])
        self.refused("TargetGroupNotFound", self.elb.describe_target_groups, TargetGroupArns=[self.arns["a"], self.arns["a"] + "x"])
        self.refused("TargetGroupNotFound", self.elb.describe_tags, ResourceArns=[self.arns["a"], self.arns["a"] + "x"])
        self.refused("RuleNotFound", self.elb.describe_tags, ResourceArns=[rule + "x"])
        self.refused("RuleNotFound", self.elb.describe_rules, RuleArns=[rule, rule + "x"])
        self.refused("ListenerNotFound", self.elb.describe_listeners, ListenerArns=[self.world["listener_arn"], self.world["listener_arn"] + "x"])
        self.refused("ListenerNotFound", self.elb.describe_rules, ListenerArn=self.world["listener_arn"] + "x")
        self.refused("LoadBalancerNotFound", self.elb.describe_load_balancers, Names=["world", "nix"])
        self.refused("TargetGroupNotFound", self.elb.describe_target_health, TargetGroupArn=self.arns["a"] + "x")

    def test_names(self):
        self.make("a")
        self.assertEqual(self.target_group("a"), self.arns["a"])
        self.refused("DuplicateTargetGroupName", self.target_group, name="a", Port=9)
        same = self.elb.create_load_balancer(Name="world", Subnets=self.world["subnet_ids"])["LoadBalancers"][0]
        self.assertEqual(same["LoadBalancerArn"], self.world["load_balancer_arn"])
        self.refused("DuplicateLoadBalancerName", self.elb.create_load_balancer, Name="world", Subnets=self.world["subnet_ids"], Scheme="internal")

    def test_network_load_balancer(self):
        self.assertIn(":loadbalancer/net/", self.world["nlb_arn"])
        self.make("a", "b", Protocol="TCP")
        listener = self.world["nlb_listener_arn"]
        self.elb.modify_listener(ListenerArn=listener, DefaultActions=self.forward(a=90, b=10))
        shown = self.elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"][0]
        self.assertEqual([one["Weight"] for one in shown["ForwardConfig"]["TargetGroups"]], [90, 10])
        self.make("http")
        self.refused("IncompatibleProtocols", self.elb.modify_listener, ListenerArn=listener, DefaultActions=self.forward(http=1))

    def test_health_checks_by_tcp(self):
        self.make("plain", Protocol="TCP")
        shown = self.elb.describe_target_groups(Names=["plain"])["TargetGroups"][0]
        self.assertEqual((shown["HealthCheckProtocol"], shown.get("HealthCheckPath")), ("TCP", None))
        self.make("web", Protocol="TCP", HealthCheckProtocol="HTTP", HealthCheckPath="/health")
        base = {"Port": 80, "VpcId": self.world["vpc_id"]}
        create = self.elb.create_target_group
        self.refused("ValidationError", create, "path", Name="a", Protocol="TCP", HealthCheckPath="/", **base)
        self.refused("ValidationError", create, "matcher", Name="a", Protocol="TCP", Matcher={"HttpCode": "200"}, **base)
        self.refused("InvalidConfigurationRequest", create, Name="a", Protocol="HTTP", HealthCheckProtocol="TCP", **base)
        modify = self.elb.modify_target_group
        self.refused("ValidationError", modify, "path", TargetGroupArn=self.arns["plain"], HealthCheckPath="/")
        modify(TargetGroupArn=self.arns["plain"], HealthCheckProtocol="HTTP", HealthCheckPath="/x")

    def test_what_others_run(self):
        world = control("POST", "world", {"name": "old", "nlb": True, "foreign": 2, "listeners": [{"port": 8080, "foreign": True}]})
        default = self.elb.describe_listeners(ListenerArns=[world["listeners"]["8080"]])["Listeners"][0]["DefaultActions"]
        self.assertEqual(default[0]["TargetGroupArn"], world["foreign_target_group_arn"])
        for arn in (world["foreign_target_group_arn"], world["nlb_foreign_target_group_arn"]):
            eventually(lambda: self.health(arn) == ["healthy", "healthy"])
            self.assertEqual(self.health(arn), ["healthy", "healthy"])

    def test_stickiness_comes_first_to_the_rule(self):
        self.make("a", "b")
        rule = self.rule(self.forward(a=1, b=1))
        sticky = [{"Key": "stickiness.enabled", "Value": "true"}]
        self.refused("InvalidConfigurationRequest", self.elb.modify_target_group_attributes, TargetGroupArn=self.arns["a"], Attributes=sticky)
        actions = self.forward(a=1, b=1)
        actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": 60}
        self.elb.modify_rule(RuleArn=rule, Actions=actions)
        self.elb.modify_target_group_attributes(TargetGroupArn=self.arns["a"], Attributes=sticky)
        self.refused("InvalidLoadBalancerAction", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1, b=1))

    def shown(self, rule):
        return self.elb.describe_rules(RuleArns=[rule])["Rules"][0]

    def test_every_type_of_condition_is_kept(self):
        self.make("a")
        conditions = [
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/shop/*"]}},
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x-canary", "RegexValues": ["^y"]}},
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]}},
            {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
        ]
        make = lambda conditions, priority=10: self.elb.create_rule(  # noqa: E731
            ListenerArn=self.world["listener_arn"], Priority=priority, Conditions=conditions, Actions=self.forward(a=1)
        )
        rule = make(conditions)["Rules"][0]["RuleArn"]
        shown = {one["Field"]: one for one in self.shown(rule)["Conditions"]}
        self.assertEqual(len(shown), 5)
        self.assertEqual(shown["http-header"]["HttpHeaderConfig"], {"HttpHeaderName": "x-canary", "RegexValues": ["^y"]})
        self.assertEqual(shown["source-ip"], {"Field": "source-ip", "Values": [], "SourceIpConfig": {"Values": ["10.0.0.0/8"]}})
        self.assertEqual(shown["query-string"]["QueryStringConfig"]["Values"], [{"Key": "v", "Value": "2"}])
        # actions alone leave the conditions; a list of conditions replaces all of them
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(a=2))
        self.assertEqual(len(self.shown(rule)["Conditions"]), 5)
        self.elb.modify_rule(RuleArn=rule, Conditions=[{"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^a[0-9]+[.]example[.]com$"]}}])
        after = self.shown(rule)["Conditions"]
        self.assertEqual([one["Field"] for one in after], ["host-header"])
        self.assertEqual(after[0]["HostHeaderConfig"]["RegexValues"], ["^a[0-9]+[.]example[.]com$"])

        def host(value):
            return [{"Field": "host-header", "HostHeaderConfig": {"Values": [value]}}]

        for value in ("localhost", "*", "10.0.0.1", "a_b.example.com", "a.example.*"):
            self.refused("ValidationError", make, conditions=host(value), priority=11)
        make(host("*.example.com"), 11)
        self.refused("ValidationError", make, "only one", conditions=host("a.b.c") + host("d.e.f"), priority=12)
        self.refused("ValidationError", make, conditions=[{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1"]}}], priority=12)
        header = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "Host", "Values": ["a"]}}
        self.refused("ValidationError", make, "host header", conditions=[header], priority=12)
        paths = [{"Field": "path-pattern", "PathPatternConfig": {"Values": [f"/{n}" for n in range(6)]}}]
        self.refused("ValidationError", make, "'5' condition values", conditions=paths, priority=12)

    def test_rules_trade_their_places_in_one_call(self):
        self.make("a")
        one, two = self.rule(self.forward(a=1), priority=1), self.rule(self.forward(a=1), priority=2)
        self.rule(self.forward(a=1), priority=3)
        self.refused("PriorityInUse", self.elb.set_rule_priorities, RulePriorities=[{"RuleArn": one, "Priority": 3}])
        self.elb.set_rule_priorities(RulePriorities=[{"RuleArn": one, "Priority": 2}, {"RuleArn": two, "Priority": 1}])
        self.assertEqual((self.shown(one)["Priority"], self.shown(two)["Priority"]), ("2", "1"))

    def oidc(self, **more):
        config = {"Issuer": "https://i.example", "AuthorizationEndpoint": "https://i.example/a", "TokenEndpoint": "https://i.example/t", "UserInfoEndpoint": "https://i.example/u", "ClientId": "web", **more}
        return {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": config}

    def last(self, **weights):
        return [{**self.forward(**weights)[0], "Order": 2}]

    def test_authentication_comes_first_and_its_secret_is_never_shown(self):
        self.world = control("POST", "world", {"name": "safe", "listeners": [{"port": 443, "protocol": "HTTPS"}]})
        self.make("a")
        https = {"listener": self.world["listeners"]["443"]}
        self.refused("InvalidLoadBalancerAction", self.rule, "HTTPS", actions=[self.oidc(ClientSecret="s")] + self.last(a=1))
        self.refused("InvalidLoadBalancerAction", self.rule, "secret", actions=[self.oidc()] + self.last(a=1), **https)
        self.refused("InvalidLoadBalancerAction", self.rule, "order", actions=[self.oidc(ClientSecret="s")] + self.forward(a=1), **https)
        rule = self.rule([self.oidc(ClientSecret="s")] + self.last(a=1), **https)
        shown = self.shown(rule)["Actions"]
        self.assertEqual([one["Type"] for one in shown], ["authenticate-oidc", "forward"])
        self.assertNotIn("ClientSecret", shown[0]["AuthenticateOidcConfig"])
        self.assertEqual(shown[0]["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"], "authenticate")
        # what is shown can't be sent again as it is: the call must say that the secret stays
        self.refused("InvalidLoadBalancerAction", self.elb.modify_rule, "secret", RuleArn=rule, Actions=shown)
        shown[0]["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
        self.elb.modify_rule(RuleArn=rule, Actions=shown)
        self.elb.modify_rule(RuleArn=rule, Actions=shown)
        self.assertNotIn("UseExistingClientSecret", self.shown(rule)["Actions"][0]["AuthenticateOidcConfig"])

    def test_cognito_and_tokens(self):
        self.world = control("POST", "world", {"name": "safe", "listeners": [{"port": 443, "protocol": "HTTPS"}]})
        self.make("a")
        https = {"listener": self.world["listeners"]["443"]}
        pool = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/p"
        cognito = {"Type": "authenticate-cognito", "Order": 1, "AuthenticateCognitoConfig": {"UserPoolArn": pool, "UserPoolClientId": "c", "UserPoolDomain": "d"}}
        token = {"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": {"JwksEndpoint": "https://i.example/jwks", "Issuer": "https://i.example"}}
        for priority, action in ((20, cognito), (21, token)):
            rule = self.rule([action] + self.last(a=1), priority=priority, **https)
            shown = self.shown(rule)["Actions"]
            self.assertEqual(shown[0]["Type"], action["Type"])
            self.elb.modify_rule(RuleArn=rule, Actions=shown)
            # a list of actions replaces all of them
            self.elb.modify_rule(RuleArn=rule, Actions=self.forward(a=1))
            self.assertEqual([one["Type"] for one in self.shown(rule)["Actions"]], ["forward"])
        default = [token] + self.last(a=1)
        self.elb.modify_listener(ListenerArn=https["listener"], DefaultActions=default)
        shown = self.elb.describe_listeners(ListenerArns=[https["listener"]])["Listeners"][0]["DefaultActions"]
        self.assertEqual([one["Type"] for one in shown], ["jwt-validation", "forward"])

    def test_transforms_stay_until_they_are_replaced_or_reset(self):
        self.make("a")
        rewrite = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/shop/(.*)$", "Replace": "/$1"}]}}
        rule = self.rule(self.forward(a=1), Transforms=[rewrite])
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(a=2))
        self.assertEqual(self.shown(rule)["Transforms"], [rewrite])
        self.refused("ValidationError", self.elb.modify_rule, RuleArn=rule, Transforms=[rewrite], ResetTransforms=True)
        self.refused("ValidationError", self.elb.modify_rule, RuleArn=rule, Transforms=[rewrite, rewrite])
        self.elb.modify_rule(RuleArn=rule, ResetTransforms=True)
        self.assertEqual(self.shown(rule).get("Transforms", []), [])

    def test_group_stickiness_needs_a_duration(self):
        self.make("a", "b")
        actions = self.forward(a=1, b=1)
        actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = {"Enabled": True}
        self.refused("ValidationError", self.rule, "between 1 and 604800 seconds", actions=actions)
        actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": 60}
        rule = self.rule(actions)
        shown = self.shown(rule)["Actions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"]
        self.assertEqual(shown, {"Enabled": True, "DurationSeconds": 60})

    def test_attributes_of_target_groups(self):
        self.make("web")
        self.make("plain", Protocol="TCP")

        def change(name, **attributes):
            pairs = [{"Key": key, "Value": value} for key, value in attributes.items()]
            return self.elb.modify_target_group_attributes(TargetGroupArn=self.arns[name], Attributes=pairs)

        for name, key, value, code in (
            ("web", "nix", "1", "ValidationError"),
            ("web", "slow_start.duration_seconds", "10", "ValidationError"),
            ("web", "preserve_client_ip.enabled", "true", "InvalidConfigurationRequest"),
            ("plain", "slow_start.duration_seconds", "60", "InvalidConfigurationRequest"),
            ("web", "load_balancing.algorithm.type", "random", "ValidationError"),
            ("web", "stickiness.lb_cookie.duration_seconds", "604801", "ValidationError"),
        ):
            self.refused(code, change, name=name, **{key: value})
        change("web", **{"slow_start.duration_seconds": "60"})
        self.refused("InvalidConfigurationRequest", change, "slow start", name="web", **{"load_balancing.algorithm.type": "least_outstanding_requests"})
        change("web", **{"slow_start.duration_seconds": "0", "load_balancing.algorithm.type": "least_outstanding_requests"})
        change("plain", **{"preserve_client_ip.enabled": "false", "deregistration_delay.connection_termination.enabled": "true"})
