//! The real binary, end to end: game days in containers and on local processes,
//! canaries, the watchdog, kills.
//!
//! Most of their time is waiting, so they run side by side; what each of them
//! needs for itself is said where it is listed here.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod canary_cmd;
mod canary_load;
mod canary_services;
mod clocks;
mod day;
mod docker;
mod doctor;
mod histories;
mod killed;
mod links;
mod output;
mod partitions;
mod process;
mod processes;
mod resources;
mod sabotage;
mod safety;
mod seeded_bugs;
mod systems;
mod traffic;
mod turns;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use turns::{Needs, Turns};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let trials = trials();
    // A thread for each, of which most wait for their turn.
    arguments.test_threads.get_or_insert(trials.len());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that has its turn when what it needs is free; tells how long it took.
fn trial(needs: Needs, name: &'static str, test: fn()) -> Trial {
    static TURNS: Turns = Turns::new();
    static PLACES: AtomicUsize = AtomicUsize::new(0);
    let place = PLACES.fetch_add(1, Ordering::Relaxed);
    Trial::ignorable_test(name, move || {
        if needs.docker() && !support::docker() {
            if !support::docker_is_required() {
                return Ok(Completion::ignored_with("Docker does not answer"));
            }
            return Err(Failed::from(
                "GAMEDAY_REQUIRE_DOCKER=1, but Docker does not answer",
            ));
        }
        let _turn = TURNS.wait(place, needs);
        let began = Instant::now();
        test();
        println!("{:6.1} s {name}", began.elapsed().as_secs_f64());
        Ok(Completion::Completed)
    })
}

macro_rules! list {
    ($($needs:ident: $($module:ident::$test:ident),+;)+) => {
        vec![$($(
            trial(
                Needs::$needs,
                concat!(stringify!($module), "::", stringify!($test)),
                $module::$test,
            )
        ),+),+]
    };
}

/// All of them, in the order of their turns: the longest first.
fn trials() -> Vec<Trial> {
    list! {
        Docker:
            partitions::links_between_containers,
            traffic::between_containers,
            processes::containers_end_freeze_and_come_back,
            resources::disks_stored_data_and_clocks_of_containers,
            resources::processor_and_memory_of_containers,
            clocks::a_jump_is_told_to_clients_of_containers,
            docker::an_upgrade_rolls_over_the_containers_and_back,
            docker::an_az_that_loses_power_is_survived,
            docker::a_member_of_the_dockers_group_needs_no_root,
            docker::a_taken_network_is_refused_with_a_way_out,
            safety::a_run_of_containers_is_known_from_another_pid_namespace,
            safety::a_container_that_inherited_our_marks_is_somebody_elses,
            safety::a_cut_that_was_made_later_than_anybody_waited_is_undone,
            systems::redis_loses_what_an_isolated_primary_acknowledged,
            systems::redis_that_wants_a_replica_refuses_what_it_would_lose,
            systems::etcd_survives_a_leader_that_is_isolated,
            systems::etcd_survives_a_member_that_is_killed,
            systems::a_web_service_survives_a_dark_zone,
            again::a_cut_is_put_back_when_its_containers_are_restarted,
            again::a_cut_that_cannot_be_put_back_is_inconclusive,
            again::a_cut_around_an_instrument_is_not_put_back,
            sabotage::rules_that_somebody_removed_are_no_partition,
            sabotage::a_container_that_somebody_started_is_not_dead,
            sabotage::a_container_that_somebody_restarted_makes_the_run_inconclusive,
            doctor::the_engine_is_that_of_the_docker_context,
            sabotage::a_bound_that_somebody_took_away_is_none,
            doctor::containers_are_tried_and_the_probe_is_gone_afterwards,
            output::a_plan_that_is_interrupted_leaves_no_probe;
        DockerIfThere:
            killed::whatever_befalls_a_game_day_nothing_is_left_and_nobody_else_is_touched;
        Slot:
            seeded_bugs::a_night_finds_a_bug_that_is_replayed_and_shrunk,
            seeded_bugs::the_honest_store_passes_the_same_playbooks,
            seeded_bugs::acknowledged_before_fdatasync,
            seeded_bugs::acknowledged_before_the_quorum,
            seeded_bugs::strong_reads_from_a_deposed_leader,
            partitions::links_between_processes,
            processes::processes_end_freeze_and_come_back,
            traffic::between_processes,
            clocks::a_jump_is_told_to_clients_of_processes,
            resources::disks_stored_data_and_clocks_of_processes,
            process::boto3_works_against_a_kept_cluster,
            process::an_upgrade_rolls_over_the_nodes_and_back,
            process::a_partition_is_survived_proven_and_reported,
            process::an_alarm_that_is_a_stop_condition_ends_the_run,
            output::a_reader_who_goes_and_a_hangup_that_is_ignored_change_nothing,
            output::a_panic_of_a_task_reverts_reports_and_is_an_internal_error,
            output::a_disk_that_fills_up_ends_the_game_day_at_once,
            output::a_bench_that_is_interrupted_leaves_nothing,
            output::a_cluster_that_is_interrupted_while_it_comes_up_leaves_nothing,
            output::a_cluster_of_which_nodes_die_at_the_start_is_told_at_once,
            process::a_wrong_playbook_is_refused_with_all_its_errors,
            sabotage::links_that_somebody_opened_are_no_partition,
            sabotage::a_process_that_somebody_woke_is_not_paused,
            sabotage::a_process_that_died_in_the_hold_was_not_restarted_for_it,
            sabotage::a_node_that_dies_beside_a_fault_makes_the_run_inconclusive,
            safety::a_run_that_is_asked_to_stop_reverts_judges_and_says_why,
            safety::a_second_ctrl_c_does_not_keep_the_first_one_from_reverting,
            safety::the_watchdog_reverts_for_a_runner_that_was_killed,
            safety::what_a_dead_run_left_is_told_by_the_next_one,
            safety::a_run_in_another_pid_namespace_is_in_progress_here,
            canary_cmd::it_measures_until_it_is_told_to_end_and_leaves_a_report,
            canary_cmd::an_alarm_that_is_a_stop_condition_ends_it,
            canary_cmd::what_cannot_be_measured_is_explained,
            canary_cmd::requests_are_signed_with_the_keys_of_a_profile,
            canary_cmd::old_segments_go_and_are_judged_before,
            canary_cmd::our_own_store_is_measured_through_every_endpoint,
            canary_cmd::botocore_signs_the_same,
            canary_load::a_store_that_forgets_writes_is_found,
            canary_load::a_table_that_is_used_again_begins_empty,
            canary_load::counters_and_inserts_are_judged_and_a_table_can_be_used_again,
            canary_load::a_store_that_forgets_additions_is_found,
            canary_load::fresh_connections_are_opened_for_one_call_each,
            canary_load::retries_answer_requests_whose_first_attempt_failed,
            canary_load::a_name_that_gets_another_address_is_followed,
            canary_services::redis_is_measured_and_judged,
            canary_services::a_redis_that_forgets_is_found,
            canary_services::the_primary_that_sentinels_name_is_followed,
            canary_services::etcd_is_measured_and_judged,
            canary_services::http_is_measured_and_judged,
            canary_services::postgres_is_measured_and_judged,
            canary_services::a_commit_that_waits_for_a_standby_in_vain_is_unknown,
            resources::bounds_are_refused_where_they_cannot_be_made,
            killed::every_fault_has_a_playbook_here,
            doctor::without_docker_processes_are_offered_and_why_is_said,
            doctor::where_nothing_can_run_the_exit_code_says_so,
            doctor::a_plan_names_its_techniques_and_needs_no_docker,
            doctor::a_night_is_the_same_for_the_same_seed_to_the_byte,
            doctor::without_the_right_to_the_socket_what_helps_is_said,
            doctor::an_output_that_nobody_reads_is_no_failure;
        Alone:
            clocks::leases_hold_within_their_margin_and_beyond_it_a_stale_read_is_found,
            process::an_outage_is_measured_within_one_probe_interval;
        // It reverts whatever is dead on this machine.
        DockerAlone:
            docker::a_killed_runner_leaves_nothing_that_revert_does_not_end_and_nobody_else_is_touched;
    }
}
