//! ionroller: a GitOps reconciler for AWS.
