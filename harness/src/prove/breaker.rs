//! Defects in the circuit breaker.

use integration_core::policy::{Counts, ProbeRelease};

use super::Defect;

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "breaker_never_opens",
        bug: "never opens",
        drill: "breaker/it_opens_and_probes_once",
        check: "breaker",
        plant: |_, p| p.breaker.failures = None,
    },
    Defect {
        name: "breaker_never_half_opens",
        bug: "never half-opens: silence after recovery",
        drill: "breaker/it_closes_when_the_vendor_is_back",
        check: "breaker",
        plant: |_, p| p.breaker.open_for = None,
    },
    Defect {
        name: "burst_of_probes",
        bug: "a burst of probes instead of one",
        drill: "breaker/it_opens_and_probes_once",
        check: "breaker",
        plant: |_, p| p.breaker.probes = 50,
    },
    Defect {
        name: "probe_wedges_it",
        bug: "a 4xx or hung probe wedges it",
        drill: "breaker/a_hung_probe_does_not_wedge_it",
        check: "breaker",
        plant: |_, p| p.breaker.release = ProbeRelease::OnSuccessOnly,
    },
    Defect {
        name: "opens_on_own_4xx",
        bug: "opens on the caller's own 4xx",
        drill: "breaker/our_own_mistakes_do_not_open_it",
        check: "breaker",
        plant: |_, p| p.breaker.counts = Counts::ClientErrorsToo,
    },
];
