//! Pages of a fake drill: whole, alone, and safe against what a payload may hold.

use super::*;
use crate::report::tests as fake;

fn site() -> (Page, String) {
    let loaded = fake::loaded();
    let drilled = fake::drilled(Verdict::Fail);
    let mut site = Site::default();
    let page = site.drill(&fake::ran(&loaded, &drilled));
    site.no_verdict(&loaded, Seed(9), &DrillError::Harness("a port was taken".into()), "firedrill run x");
    (page, site.index())
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let (page, index) = site();
    for html in [&page.html, &index] {
        for outside in ["src=", "href=\"http", "url(", "@import", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
    assert_eq!(page.path, "idempotency/lost_answer.seed-7.html");
    assert!(index.contains(&format!("href=\"{}\"", page.path)));
}

#[test]
fn a_page_shows_the_findings_and_every_event() {
    let (page, index) = site();
    let drilled = fake::drilled(Verdict::Fail);
    for finding in drilled.judgements.iter().flat_map(|j| &j.findings) {
        assert!(page.html.contains(&*finding.rule));
        assert!(index.contains(&*drilled.judgements[0].findings[0].rule));
    }
    let start = page.html.find("id=\"scene\">").unwrap() + "id=\"scene\">".len();
    let end = start + page.html[start..].find("</script>").unwrap();
    let scene: serde_json::Value = serde_json::from_str(&page.html[start..end]).unwrap();
    assert_eq!(scene["events"].as_array().unwrap().len(), drilled.trace.events.len());
}

#[test]
fn a_payload_cannot_break_out_of_its_page() {
    let mut loaded = fake::loaded();
    loaded.scenario.drill = "</title><script>alert(1)</script>".into();
    let mut drilled = fake::drilled(Verdict::Fail);
    let line = "</script><script>alert(2)</script><!--".to_owned();
    drilled.trace.events.push(crate::trace::Event {
        at: crate::time::At(1),
        what: crate::trace::What::Log { level: "warn".into(), line },
    });
    let html = Site::default().drill(&fake::ran(&loaded, &drilled)).html;
    assert!(!html.contains("<script>alert"));
    assert_eq!(html.matches("</script>").count(), 3);
}
