//! Defects in the scheduled sync and the reconciliation.

use integration_core::policy::{Comparison, CursorCommit, Pages, Repair};

use super::Defect;

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "first_page_only",
        bug: "first page only",
        drill: "reconciliation/every_page_is_read",
        check: "reconciliation",
        plant: |_, p| p.sync.pages = Pages::First,
    },
    Defect {
        name: "cursor_before_its_rows",
        bug: "cursor saved before its rows",
        drill: "reconciliation/the_cursor_does_not_run_ahead",
        check: "reconciliation",
        plant: |_, p| p.sync.cursor = CursorCommit::BeforeItsRows,
    },
    Defect {
        name: "compares_first_pages",
        bug: "first page only, of what is compared",
        drill: "reconciliation/every_page_of_both_sides_is_compared",
        check: "reconciliation",
        plant: |_, p| p.reconcile.pages = Pages::First,
    },
    Defect {
        name: "compares_counts_only",
        bug: "compares counts only",
        drill: "reconciliation/a_wrong_amount_is_found_and_mended",
        check: "reconciliation",
        plant: |_, p| p.reconcile.comparison = Comparison::CountsOnly,
    },
    Defect {
        name: "compares_money_only",
        bug: "compares amounts only",
        drill: "reconciliation/what_is_not_money_is_compared_too",
        check: "reconciliation",
        plant: |_, p| p.reconcile.comparison = Comparison::MoneyOnly,
    },
    Defect {
        name: "never_reconciles",
        bug: "never reconciles, so a dropped webhook is never repaired",
        drill: "reconciliation/a_dropped_webhook_is_repaired",
        check: "reconciliation",
        plant: |_, p| {
            p.sync.enabled = false;
            p.reconcile.enabled = false;
        },
    },
    Defect {
        name: "repairs_the_wrong_side",
        bug: "repairs the wrong side, overwriting newer data",
        drill: "reconciliation/a_wrong_amount_is_found_and_mended",
        check: "reconciliation",
        plant: |_, p| p.reconcile.repair = Repair::OverwriteTheCrm,
    },
];
