//! What fits what: at which points of a drill each act may be asked for.
//!
//! Knows: the one table of acts and points; `schedule` asks it when, the review of a scenario what
//! can be on what. Must not know: any one rule.

use super::act::Act;
use super::text::Target;

/// The moments at which a rule may bite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// While connections are made, for a window of time.
    Connect,
    /// When the head of a request has come, and its body is not read yet.
    Head,
    /// When a call reached the vendor.
    Call,
    /// Before a webhook event is sent for the first time.
    Emission,
    /// When a webhook delivery is written.
    Delivery,
    /// Once the subject acknowledged a delivery.
    Ack,
    /// When the window of a rule on the subject opens.
    Life,
}

/// The kinds of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls to a vendor.
    Calls,
    /// Webhooks of a vendor.
    Webhook,
    /// The subject.
    Subject,
}

impl Point {
    /// The kind of target that has this point.
    pub fn kind(self) -> Kind {
        match self {
            Point::Connect | Point::Head | Point::Call => Kind::Calls,
            Point::Emission | Point::Delivery | Point::Ack => Kind::Webhook,
            Point::Life => Kind::Subject,
        }
    }
}

impl Kind {
    /// The kind of a target.
    pub fn of(target: &Target) -> Kind {
        match target {
            Target::Calls { .. } => Kind::Calls,
            Target::Webhook { .. } => Kind::Webhook,
            Target::Subject => Kind::Subject,
        }
    }
}

impl Act {
    /// Where it can be done; the first is the usual place.
    pub fn points(&self) -> &'static [Point] {
        match self {
            Act::Refuse | Act::BlackHole | Act::SlowAccept(_) | Act::Certificate(_) => &[Point::Connect],
            Act::ResetRequest => &[Point::Head],
            Act::Reset(_)
            | Act::Close(_)
            | Act::Hang(_)
            | Act::Truncate(_)
            | Act::ContentLength(_)
            | Act::Interim(_)
            | Act::Stall(_)
            | Act::SlowBody(_)
            | Act::Garbage
            | Act::StaleKeepAlive
            | Act::Goaway(_)
            | Act::Error(_)
            | Act::Reply(_)
            | Act::Latency(_)
            | Act::Headers(_) => &[Point::Call],
            Act::Drift(mutation) if mutation.is_of_requests() => &[Point::Call],
            Act::Drift(_) => &[Point::Call, Point::Delivery],
            Act::Duplicate(_)
            | Act::Reorder(_)
            | Act::Delay(_)
            | Act::Drop
            | Act::Burst
            | Act::UnknownType
            | Act::Poison => &[Point::Emission],
            Act::Signature(_) | Act::Unreachable | Act::LostAck => &[Point::Delivery],
            Act::Kill(_) | Act::Stop(_) | Act::Pause(_) | Act::ClockSkew(_) => {
                &[Point::Life, Point::Call, Point::Ack]
            }
        }
    }

    /// What it can be on; the first is the usual one.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in self.points().iter().map(|p| p.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// The act as drills spell it.
    pub fn word(&self) -> &'static str {
        match self {
            Act::Refuse => "refuse",
            Act::BlackHole => "black_hole",
            Act::SlowAccept(_) => "slow_accept",
            Act::Certificate(_) => "certificate",
            Act::ResetRequest => "reset_request",
            Act::Reset(_) => "reset",
            Act::Close(_) => "close",
            Act::Hang(_) => "hang",
            Act::Truncate(_) => "truncate",
            Act::ContentLength(_) => "content_length",
            Act::Interim(_) => "interim",
            Act::Stall(_) => "stall",
            Act::SlowBody(_) => "slow_body",
            Act::Garbage => "garbage",
            Act::StaleKeepAlive => "stale_keep_alive",
            Act::Goaway(_) => "goaway",
            Act::Error(_) => "error",
            Act::Reply(_) => "reply",
            Act::Latency(_) => "latency",
            Act::Headers(_) => "headers",
            Act::Drift(_) => "drift",
            Act::Duplicate(_) => "duplicate",
            Act::Reorder(_) => "reorder",
            Act::Delay(_) => "delay",
            Act::Drop => "drop",
            Act::Burst => "burst",
            Act::Signature(_) => "signature",
            Act::UnknownType => "unknown_type",
            Act::Poison => "poison",
            Act::Unreachable => "unreachable",
            Act::LostAck => "lost_ack",
            Act::Kill(_) => "kill",
            Act::Stop(_) => "stop",
            Act::Pause(_) => "pause",
            Act::ClockSkew(_) => "clock_skew",
        }
    }
}
