//! Which parts of its variables an expression can read.
//!
//! Knows: the shape of a CEL syntax tree. Must not know: how it is evaluated. A record has dozens
//! of fields and a condition reads one or two; handing over only these is most of the speed of a
//! judgement.

use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};
use serde_json::Value;

/// What is read of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// All of it, as far as can be told.
    Whole,
    /// These members, and nothing else.
    Members(BTreeMap<String, Reads>),
}

impl Reads {
    /// The parts of `value` that are read, by their path from `name` on.
    pub(super) fn parts(&self, name: &str, value: &Value, found: &mut Vec<(String, Value)>) {
        match self {
            Reads::Whole => found.push((name.to_owned(), value.clone())),
            Reads::Members(members) => {
                for (member, reads) in members {
                    let part = value.get(member).unwrap_or(&Value::Null);
                    reads.parts(&format!("{name}.{member}"), part, found);
                }
            }
        }
    }
}

/// What is read of each name. A name that is missing is not read; names that are bound inside the
/// expression are listed like any other, which makes the answer larger and never too small.
pub(super) fn of(expression: &IdedExpr) -> BTreeMap<String, Reads> {
    let mut found = BTreeMap::new();
    walk(&expression.expr, &mut found);
    found
}

fn walk(expr: &Expr, found: &mut BTreeMap<String, Reads>) {
    if let Some((root, members)) = chain(expr) {
        add(found, root, &members);
        return;
    }
    let mut all = |them: &[IdedExpr]| them.iter().for_each(|e| walk(&e.expr, found));
    match expr {
        Expr::Call(call) => {
            all(&call.args);
            if let Some(target) = &call.target {
                walk(&target.expr, found);
            }
        }
        Expr::Comprehension(c) => {
            for part in [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                walk(&part.expr, found);
            }
        }
        Expr::List(list) => all(&list.elements),
        Expr::Map(map) => map.entries.iter().for_each(|e| entry(&e.expr, found)),
        Expr::Struct(it) => it.entries.iter().for_each(|e| entry(&e.expr, found)),
        Expr::Select(select) => walk(&select.operand.expr, found),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry(entry: &EntryExpr, found: &mut BTreeMap<String, Reads>) {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value.expr, found),
        EntryExpr::MapEntry(pair) => {
            walk(&pair.key.expr, found);
            walk(&pair.value.expr, found);
        }
    }
}

/// A name and the members that are selected from it one after the other; `has(…)` selects, too.
fn chain(expr: &Expr) -> Option<(&str, Vec<&str>)> {
    let mut members = Vec::new();
    let mut expr = expr;
    loop {
        match expr {
            Expr::Ident(name) => {
                members.reverse();
                return Some((name, members));
            }
            Expr::Select(select) => {
                members.push(select.field.as_str());
                expr = &select.operand.expr;
            }
            _ => return None,
        }
    }
}

fn add(found: &mut BTreeMap<String, Reads>, name: &str, members: &[&str]) {
    let Some((next, rest)) = members.split_first() else {
        found.insert(name.to_owned(), Reads::Whole);
        return;
    };
    let reads = found.entry(name.to_owned()).or_insert_with(|| Reads::Members(BTreeMap::new()));
    if let Reads::Members(of) = reads {
        add(of, next, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(source: &str) -> String {
        fn show(of: &BTreeMap<String, Reads>) -> String {
            let one = |(name, reads): (&String, &Reads)| match reads {
                Reads::Whole => name.clone(),
                Reads::Members(m) => format!("{name}({})", show(m)),
            };
            of.iter().filter(|(name, _)| !name.starts_with('@')).map(one).collect::<Vec<_>>().join(" ")
        }
        show(&of(cel::Program::compile(source).unwrap().expression()))
    }

    #[test]
    fn only_what_is_selected_is_read() {
        assert_eq!(reads("deal.properties.stage == 'won'"), "deal(properties(stage))");
        assert_eq!(reads("f(a.b, a.c) + a.b.d"), "a(b c)");
        assert_eq!(reads("has(a.b.c) && x"), "a(b(c)) x");
        assert_eq!(reads("a.b.c == 1 || size(a) > 2"), "a");
        assert_eq!(reads("{'k': m.v}['k'] == [l.e][0]"), "l(e) m(v)");
    }

    #[test]
    fn what_is_read_is_shown_part_by_part() {
        let expr = crate::expr::Expr::compile("minor_units(deal.p.amount, deal.p.currency)").unwrap();
        let deal = serde_json::json!({ "p": { "amount": "1.50", "stage": "won" } });
        let parts: Vec<String> = expr.inputs("deal", &deal).iter().map(|(p, v)| format!("{p}={v}")).collect();
        assert_eq!(parts, ["deal.p.amount=\"1.50\"", "deal.p.currency=null"]);
        assert!(expr.inputs("invoice", &deal).is_empty());
    }

    #[test]
    fn what_is_searched_or_called_is_read_whole() {
        assert_eq!(reads("crm.deals.all(d, d.won)"), "crm(deals) d(won)");
        assert_eq!(reads("a.b.exists(x, x == y.z)"), "a(b) x y(z)");
        assert_eq!(reads("a.b['c'].d == 1"), "a(b)");
        assert_eq!(reads("a.b.startsWith(c.d)"), "a(b) c(d)");
    }
}
