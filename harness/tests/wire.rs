//! Programs as subjects: real processes over real sockets in real time.
//!
//! The most telling handful runs each time, two drills at a time: they wait more than they work, but
//! more would starve each other on two cores. The rest is run when asked for:
//! `cargo test --workspace --all-features --test wire -- --include-ignored`.

#[path = "wire/bundled.rs"]
mod bundled;
#[path = "wire/common.rs"]
mod common;
#[path = "wire/end.rs"]
mod end;
#[path = "wire/lives.rs"]
mod lives;
#[path = "wire/mistakes.rs"]
mod mistakes;
#[path = "wire/tls.rs"]
mod tls;

use libtest_mimic::{Arguments, Trial};

/// A test by its path, so that its name cannot differ.
macro_rules! trial {
    ($module:ident::$test:ident) => {
        Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            $module::$test();
            Ok(())
        })
    };
}

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let telling = vec![
        trial!(bundled::killed_between_send_and_save_it_bills_once_and_its_store_is_whole),
        trial!(end::no_subject_outlives_a_firedrill_that_is_killed),
        trial!(lives::a_service_in_another_language_is_judged_by_the_wire),
        trial!(lives::a_fresh_key_on_each_attempt_is_found_over_the_wire_too),
        trial!(lives::a_killed_service_starts_again_on_the_same_state),
        trial!(lives::a_stopped_service_winds_up_and_one_that_does_not_is_found),
        trial!(lives::a_paused_service_makes_no_call_until_it_is_let_go_on),
        trial!(lives::a_job_is_run_to_its_end_over_and_over),
        trial!(lives::a_job_that_never_ends_is_found),
        trial!(lives::connects_that_are_refused_or_swallowed_are_seen_on_the_wire),
        trial!(lives::requests_of_a_client_that_is_gone_at_once_are_no_fault_of_firedrill),
        trial!(lives::what_a_starved_subject_does_late_is_not_held_against_it),
        trial!(lives::what_keeps_a_subject_from_being_judged_is_unknown_and_quotes_it),
        trial!(lives::waits_of_its_own_are_not_held_against_a_subject_in_a_shortened_drill),
        trial!(lives::a_subject_that_never_came_to_be_breaks_no_promise),
        trial!(lives::the_last_failed_run_of_a_job_is_cited_where_its_drill_fails),
        trial!(lives::a_trigger_that_comes_to_nothing_leaves_the_drill_unknown_and_says_why),
        trial!(lives::a_line_that_is_awaited_is_filled_in),
        trial!(lives::a_busy_port_is_told_in_the_subjects_own_words),
        trial!(end::no_subject_outlives_a_drill_in_which_firedrill_panics),
        trial!(end::what_a_subject_leaves_behind_goes_with_it),
        trial!(end::whoever_left_the_group_of_a_subject_goes_with_it),
        trial!(tls::a_program_that_does_not_verify_is_found_with_the_credential_it_gave_away),
        trial!(tls::a_drill_of_certificates_is_skipped_for_a_program_that_is_met_in_clear),
        trial!(bundled::what_cannot_be_put_to_it_is_skipped_with_the_reason),
        trial!(mistakes::each_mistake_in_a_subject_file_is_told_with_its_place_and_a_way_out),
        trial!(mistakes::what_is_wrong_around_a_command_is_told_with_its_exit_code),
        trial!(mistakes::a_drill_may_name_its_own_program),
        trial!(mistakes::exit_codes_tell_a_bad_file_from_a_subject_that_cannot_be_judged),
    ];
    let rest = vec![
        trial!(lives::jobs_are_triggered_by_post_by_signal_and_by_command),
        trial!(tls::a_program_that_trusts_the_authority_is_served_over_tls),
        trial!(tls::a_program_that_verifies_refuses_a_bad_certificate_and_goes_on_after_it),
        trial!(lives::readiness_is_a_connection_or_a_line_too),
        trial!(lives::a_log_file_is_part_of_the_trace),
        trial!(end::no_subject_outlives_any_of_two_hundred),
        trial!(bundled::it_passes_every_drill_that_fits_real_time),
        trial!(bundled::killed_at_every_step_it_goes_on_and_its_store_is_whole),
        trial!(bundled::an_acknowledged_event_survives_a_kill_of_the_process),
        trial!(bundled::a_lost_answer_makes_one_invoice_on_the_wire_too),
        trial!(bundled::forged_deliveries_are_refused_by_the_process_too),
    ];
    let rest = rest.into_iter().map(|trial| trial.with_ignored_flag(true));
    libtest_mimic::run(&arguments, telling.into_iter().chain(rest).collect()).exit_code()
}
