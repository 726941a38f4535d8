//! Bugs to be let loose in tests: what a check is worth shows when there is something to
//! catch.
//!
//! A place where a bug could have been asks whether it is there, as in
//! `if Mutant::SkipBake.on() { … }`. In a program that people run the answer is a constant,
//! so nothing of this is left in it. In tests it is what the calling thread was told.

macro_rules! mutants {
    ($($(#[doc = $what:literal])+ $mutant:ident,)+) => {
        /// A bug. Its text says what goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(not(test), expect(dead_code, reason = "some have their place in code that only tests have"))]
        pub(crate) enum Mutant {
            $($(#[doc = $what])+ $mutant,)+
        }

        #[cfg(test)]
        impl Mutant {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$mutant),+];

            /// What goes wrong, in a sentence.
            pub(crate) fn what(self) -> String {
                match self {
                    $(Self::$mutant => concat!($($what),+).trim().to_owned(),)+
                }
            }
        }
    };
}

mutants! {
    // What is read.
    /// A page of groups that failed is taken for one without groups.
    EmptyPage,
    /// Rules that could not be read are taken for none.
    NoRules,
    /// Health that could not be read is taken for nobody being healthy.
    NobodyHealthy,
    /// Changes are made by the reading before the present one.
    StaleReading,
    /// Changes are made on an incomplete reading.
    ActOnGaps,
    // What Git and people say.
    /// A hold is ignored.
    IgnoreHold,
    /// A hold stops failure protection, too.
    HoldStopsProtection,
    /// `paused` is ignored.
    IgnorePause,
    /// A commit acts although it does not descend from what was acted on.
    IgnoreFence,
    /// The fence is never written.
    ForgetFence,
    /// Of launch templates no fence and no commit is asked.
    ForgetTemplateClaims,
    /// A broken file is taken for a deleted one.
    BrokenIsGone,
    /// Freezes, limits and slots stop nothing.
    IgnoreGate,
    /// No freeze is seen.
    NeverFrozen,
    /// There is always a free slot.
    NoSlots,
    /// However many files are gone, their services are removed.
    PruneAll,
    // Who is what.
    /// The release that settled last is live, whoever has the traffic.
    LiveIsNewest,
    /// Weight on a release that is neither live nor wanted stays.
    IgnoreStrayWeight,
    /// What is on the listener already is not looked at.
    NoPreflight,
    /// A subnet, image or the like that could not be read is taken for one that does not exist.
    GapIsAbsence,
    // A rollout.
    /// Weight is given without waiting for healthy machines.
    SkipHealthGate,
    /// One reading that shows enough healthy machines is enough.
    ReadyAtOnce,
    /// No bake is waited for.
    SkipBake,
    /// All traffic moves in one step.
    SkipSteps,
    /// A release settles before its last step.
    SettleEarly,
    /// A step is added to the weight that there is.
    RelativeWeights,
    /// The step is marked before its weights are given.
    MarkBeforeWeights,
    /// The group is made before the rule names its target group.
    GroupBeforeRule,
    /// A first release gets its real conditions before it is healthy.
    RealConditionsAtOnce,
    /// The candidate is made as large as the file says, however large live is.
    NeedFromFile,
    /// Live is not pinned.
    ForgetPin,
    /// Live is not un-pinned when no other release is coming up any more.
    ForgetUnpin,
    /// A full action gets a sixth target group.
    NoRoom,
    /// `stable` is written before the fence.
    StableBeforeFence,
    /// `retired` is not written on the release that was left.
    ForgetRetired,
    /// A release that is wanted again keeps its `retired`.
    ForgetUsedAgain,
    /// A release that comes back into its rule is judged by its first deadline.
    FirstDeadline,
    /// A release whose health was not read gets an action that gives nobody any weight.
    EntryUnread,
    // Failure.
    /// A verdict is ignored.
    IgnoreRejected,
    /// Weights go back before the verdict is written.
    WeightsBeforeVerdict,
    /// A verdict that could not be written moves no weights.
    VerdictOrNothing,
    /// The weights of a rejected release stay.
    ForgetGiveBack,
    /// The deadline never passes.
    NoDeadline,
    /// However many machines are unhealthy, no verdict follows at once.
    TolerateUnhealthy,
    /// A launch that failed for want of capacity is blamed on the release.
    BlameRelease,
    /// The next try comes at once.
    RetryAtOnce,
    /// `on_failure = "hold"` holds nothing.
    ForgetHold,
    /// Weights go back to a live release that can't take them.
    WeightToTheDead,
    /// A machine that boots and was never healthy counts as failing.
    BlameBooting,
    /// Machines that were replaced between two readings count as having been there.
    TrustReplaced,
    /// A side that can't bear its share keeps it.
    IgnoreBearing,
    /// A candidate is judged although live has no healthy machine either.
    JudgeBesideDead,
    /// A candidate that is not ready stays so for ever.
    EndlessPatience,
    /// Spot interruptions and machines stopped by hand are evidence.
    BlameStopped,
    /// A release that stood in is not marked when its successor settles.
    ForgetStandIn,
    // A rollback.
    /// A rollback takes the steps of a release.
    NoInstant,
    /// A rollback leaves for a group that is too small.
    SmallRollback,
    /// The fence is written before an instant rollback.
    FenceBeforeRollback,
    /// A rollback is not finished.
    ForgetFinish,
    /// `retired` is taken off the new live release first.
    UnretireFirst,
    /// What was rolled back from stays `stable`.
    KeepStable,
    // What goes.
    /// One reading is enough for a removal.
    OneReadingRemoves,
    /// A group is deleted before it was emptied.
    DeleteBeforeDrain,
    /// A target group is deleted before it left its rule.
    DeleteBeforeLeaving,
    /// Nothing is kept warm.
    ForgetWarm,
    /// A group leaves its action as soon as its weight is 0.
    LeaveAtOnce,
    /// The warm release goes although live is not well.
    ExpireBesideSick,
    /// The only release with healthy machines goes.
    OnlyHealthyGoes,
    /// No past releases are kept on record.
    KeepNoRecords,
    /// Templates go of groups that stand.
    RecordsOfStanding,
    /// A removal writes no fence.
    RemovalUnfenced,
    /// A removal takes the machines before the rule.
    MachinesBeforeRule,
    // Settings.
    /// `settings` is written before what it covers.
    SettingsMarkFirst,
    /// Sizes that differ from the file's stay.
    ForgetSizes,
    /// A rule that moves is deleted before the new one is made.
    OldRuleFirst,
    /// Authentication, stickiness and transforms of a rule are not sent again.
    ForgetKept,
    // Carrying it out.
    /// The executor sets the desired size, where that is the autoscaler's.
    SendDesired,
    /// The executor leaves a rule's conditions as they are.
    DropConditions,
    /// A call that failed is taken for one that was made.
    TakeErrorsForDone,
    /// A change without effect is made for ever.
    FutileForEver,
}

#[cfg(not(test))]
impl Mutant {
    /// Never.
    pub(crate) const fn on(self) -> bool {
        false
    }
}

// What people run has none of them: the build fails where that can't be told beforehand.
#[cfg(not(test))]
const _: () = assert!(!Mutant::SkipHealthGate.on());

#[cfg(test)]
mod loose;
#[cfg(test)]
mod tests;
