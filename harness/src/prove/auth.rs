//! Defects in how credentials are kept fresh.

use integration_core::policy::{KeyReading, OnInvalidGrant, OnUnauthorized, Rotation, Trust};
use std::time::Duration;

use super::Defect;

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "refresh_stampede",
        bug: "refresh stampede",
        drill: "auth/one_expiry_costs_one_refresh",
        check: "auth",
        plant: |_, p| p.refresh.single_flight = false,
    },
    Defect {
        name: "rotated_token_thrown_away",
        bug: "rotated refresh token thrown away: family revoked at the second expiry",
        drill: "auth/a_rotated_refresh_token_is_kept",
        check: "auth",
        plant: |_, p| p.refresh.rotation = Rotation::Discard,
    },
    Defect {
        name: "rotated_token_in_memory",
        bug: "rotated refresh token kept only in memory",
        drill: "auth/a_rotated_refresh_token_survives_a_crash",
        check: "auth",
        plant: |_, p| p.refresh.rotation = Rotation::MemoryOnly,
    },
    Defect {
        name: "invalid_grant_loop",
        bug: "invalid_grant loops",
        drill: "auth/a_revoked_grant_stops_the_calls_and_is_said_loudly",
        check: "auth",
        plant: |_, p| p.refresh.on_invalid_grant = OnInvalidGrant::TryAgain,
    },
    Defect {
        name: "invalid_grant_in_silence",
        bug: "invalid_grant without an alert",
        drill: "auth/a_revoked_grant_stops_the_calls_and_is_said_loudly",
        check: "observability",
        plant: |_, p| p.refresh.on_invalid_grant = OnInvalidGrant::HoldSilently,
    },
    Defect {
        name: "refresh_on_every_401",
        bug: "refresh on every 401: storm",
        drill: "auth/a_401_storm_is_not_answered_with_refreshes",
        check: "auth",
        plant: |_, p| {
            p.refresh.on_unauthorized = OnUnauthorized::RefreshAlways;
            p.refresh.forced_every = Duration::ZERO;
            p.refresh.unauthorized_rest = Duration::ZERO;
        },
    },
    Defect {
        name: "reactive_refresh",
        bug: "only reactive refresh: a 401 at each expiry",
        drill: "auth/a_token_is_refreshed_before_it_expires",
        check: "auth",
        plant: |_, p| p.refresh.proactive = false,
    },
    Defect {
        name: "api_key_cached",
        bug: "old API key cached after rotation",
        drill: "auth/a_rolled_api_key_is_picked_up",
        check: "auth",
        plant: |_, p| p.api_key = KeyReading::AtStart,
    },
    Defect {
        name: "any_certificate_trusted",
        bug: "certificates are not verified: credentials go to whoever answers",
        drill: "auth/an_expired_certificate_is_not_trusted",
        check: "tls",
        plant: |_, p| p.trust = Trust::Anyone,
    },
    Defect {
        name: "any_host_trusted",
        bug: "certificates are verified without the host name",
        drill: "auth/another_hosts_certificate_is_not_trusted",
        check: "tls",
        plant: |_, p| p.trust = Trust::AnyHost,
    },
];
