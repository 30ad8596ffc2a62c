//! The drills of `drills/`, each a test: `cargo test -p issue-mirror --test drills`.
//!
//! `ISSUE_MIRROR_POLICY=naive` drills the naive policy instead: every drill must fail then.

mod subject;

use issue_mirror::Policy;

fn main() -> std::process::ExitCode {
    let here = env!("CARGO_MANIFEST_DIR");
    let naive = std::env::var("ISSUE_MIRROR_POLICY").is_ok_and(|policy| policy == "naive");
    let policy = if naive { Policy::naive } else { Policy::mended };
    firedrill::testing::drills(format!("{here}/drills"))
        .contracts(format!("{here}/../../contracts"))
        .subject(move || Box::new(subject::Drilled(policy())))
        .seeds(3)
        .run()
}
