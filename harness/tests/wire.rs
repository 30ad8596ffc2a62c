//! Programs as subjects: real processes over real sockets in real time.
//!
//! They wait more than they work, so more of them run at a time than there are cores.

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

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(3);
    let trials = vec![
        trial(
            "lives::a_service_in_another_language_is_judged_by_the_wire",
            lives::a_service_in_another_language_is_judged_by_the_wire,
        ),
        trial(
            "lives::a_fresh_key_on_each_attempt_is_found_over_the_wire_too",
            lives::a_fresh_key_on_each_attempt_is_found_over_the_wire_too,
        ),
        trial(
            "lives::a_killed_service_starts_again_on_the_same_state",
            lives::a_killed_service_starts_again_on_the_same_state,
        ),
        trial(
            "lives::a_stopped_service_winds_up_and_one_that_does_not_is_found",
            lives::a_stopped_service_winds_up_and_one_that_does_not_is_found,
        ),
        trial(
            "lives::a_paused_service_makes_no_call_until_it_is_let_go_on",
            lives::a_paused_service_makes_no_call_until_it_is_let_go_on,
        ),
        trial(
            "lives::jobs_are_triggered_by_post_by_signal_and_by_command",
            lives::jobs_are_triggered_by_post_by_signal_and_by_command,
        ),
        trial("lives::a_job_is_run_to_its_end_over_and_over", lives::a_job_is_run_to_its_end_over_and_over),
        trial(
            "lives::what_keeps_a_subject_from_being_judged_is_unknown_and_quotes_it",
            lives::what_keeps_a_subject_from_being_judged_is_unknown_and_quotes_it,
        ),
        trial(
            "lives::waits_of_its_own_are_not_held_against_a_subject_in_a_shortened_drill",
            lives::waits_of_its_own_are_not_held_against_a_subject_in_a_shortened_drill,
        ),
        trial(
            "lives::readiness_is_a_connection_or_a_line_too",
            lives::readiness_is_a_connection_or_a_line_too,
        ),
        trial(
            "lives::a_busy_port_is_told_in_the_subjects_own_words",
            lives::a_busy_port_is_told_in_the_subjects_own_words,
        ),
        trial("lives::a_log_file_is_part_of_the_trace", lives::a_log_file_is_part_of_the_trace),
        trial(
            "end::what_a_subject_leaves_behind_goes_with_it",
            end::what_a_subject_leaves_behind_goes_with_it,
        ),
        trial(
            "end::no_subject_outlives_a_firedrill_that_is_killed",
            end::no_subject_outlives_a_firedrill_that_is_killed,
        ),
        trial("end::no_subject_outlives_any_of_two_hundred", end::no_subject_outlives_any_of_two_hundred)
            .with_ignored_flag(true),
        trial(
            "bundled::killed_between_send_and_save_it_bills_once_and_its_store_is_whole",
            bundled::killed_between_send_and_save_it_bills_once_and_its_store_is_whole,
        ),
        trial(
            "bundled::killed_at_every_step_it_goes_on_and_its_store_is_whole",
            bundled::killed_at_every_step_it_goes_on_and_its_store_is_whole,
        ),
        trial(
            "bundled::an_acknowledged_event_survives_a_kill_of_the_process",
            bundled::an_acknowledged_event_survives_a_kill_of_the_process,
        ),
        trial(
            "bundled::a_lost_answer_makes_one_invoice_on_the_wire_too",
            bundled::a_lost_answer_makes_one_invoice_on_the_wire_too,
        ),
        trial(
            "bundled::forged_deliveries_are_refused_by_the_process_too",
            bundled::forged_deliveries_are_refused_by_the_process_too,
        ),
        trial(
            "bundled::what_cannot_be_put_to_it_is_skipped_with_the_reason",
            bundled::what_cannot_be_put_to_it_is_skipped_with_the_reason,
        ),
        trial(
            "mistakes::each_mistake_in_a_subject_file_is_told_with_its_place_and_a_way_out",
            mistakes::each_mistake_in_a_subject_file_is_told_with_its_place_and_a_way_out,
        ),
        trial(
            "mistakes::exit_codes_tell_a_bad_file_from_a_subject_that_cannot_be_judged",
            mistakes::exit_codes_tell_a_bad_file_from_a_subject_that_cannot_be_judged,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
