"""The changes that a test must notice, each of one line: how much, when, and what is refused.

The text is looked for in a whole folder, so that it may move between files, and must be there once. Tests are named by
their function, or as ctest knows them.
"""

from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """``old`` in some file under ``folder`` becomes ``new``: of the tests, one must fail."""

    name: str
    folder: str
    old: str
    new: str
    tests: tuple[str, ...]


def _agent(name: str, old: str, new: str, *tests: str) -> Change:
    return Change(name, "agent", old, new, tests)


def _export(name: str, old: str, new: str, *tests: str) -> Change:
    return Change(name, "deploy/mlu_export", old, new, tests)


def _native(name: str, old: str, new: str, *tests: str) -> Change:
    return Change(name, "native/sim", old, new, tuple(f"ctest {test}" for test in tests))


AGENT = (
    _agent(
        "a rate of one slot told as that of all",
        "return engine.slots / statistics.fmean(latencies), latencies",
        "return 1 / statistics.fmean(latencies), latencies",
        "test_bursts_of_collected_invocations_do_not_change_the_rate",
    ),
    _agent(
        "a measurement that ends before three rounds of all slots",
        "len(latencies) < ROUNDS * engine.slots",
        "len(latencies) < ROUNDS",
        "test_bursts_of_collected_invocations_do_not_change_the_rate",
    ),
    _agent(
        "a recommendation that gives a tenth of the speed away",
        "FULL_SPEED = 0.97",
        "FULL_SPEED = 0.9",
        "test_a_batch_counts_as_pictures_inside_and_is_recommended_where_nothing_else_is_as_fast",
    ),
    _agent(
        "a minute to open a stream",
        "open_timeout_s: float = 3.0",
        "open_timeout_s: float = 60.0",
        "test_the_documented_file_holds_every_option_at_its_default",
    ),
    _agent(
        "threads in FFmpeg hear nothing",
        "if self._asked.is_set() or now > self._deadline:",
        "if now > self._deadline:",
        "test_a_thread_that_waits_for_a_camera_ends_when_asked",
    ),
    _agent(
        "wrong passwords tried again after seconds",
        "UNAUTHORIZED_RETRY_S = 300.0",
        "UNAUTHORIZED_RETRY_S = 3.0",
        "test_wrong_passwords_are_tried_minutes_apart",
    ),
    _agent(
        "wrong passwords tried again after days",
        "UNAUTHORIZED_RETRY_LIMIT_S = 1800.0",
        "UNAUTHORIZED_RETRY_LIMIT_S = 180000.0",
        "test_wrong_passwords_are_tried_minutes_apart",
    ),
    _agent(
        "frames of ten seconds ago are new",
        "STALE_S = 1.0 ",
        "STALE_S = 10.0 ",
        "test_a_backlog_shows_its_true_age_and_is_left_out",
    ),
    _agent(
        "slow cameras are a backlog",
        "STALE_INTERVALS = 3",
        "STALE_INTERVALS = 1",
        "test_a_slow_camera_is_no_backlog",
    ),
    _agent(
        "a paused clock is late for ever",
        "REBASE_S = 2.0",
        "REBASE_S = 2000.0",
        "test_a_camera_that_paused_its_own_clock_is_not_late_for_ever",
    ),
    _agent(
        "what waited at the beginning is new",
        "self._draining_since, self._fresh = self._arrived, False",
        "self._draining_since, self._fresh = self._arrived, True",
        "test_what_waited_when_the_connection_began_is_a_backlog",
    ),
    _agent(
        "a backlog is not counted",
        "self.account.count_dropped(DROPPED_STALE, stale)",
        "pass",
        "test_what_a_capture_leaves_out_is_counted",
    ),
    _agent(
        "noise is decoded for ever",
        "NOTHING_DECODES_S = 15.0",
        "NOTHING_DECODES_S = 15000.0",
        "test_key_frames_are_waited_for_fifteen_seconds",
    ),
    _agent(
        "damaged pictures are good",
        "if frame.is_corrupt or packet.is_corrupt:",
        "if False:",
        "test_damaged_pictures_are_counted_and_not_handed_out",
    ),
    _agent(
        "clocks of another day",
        "BEHIND_S = 2.0",
        "BEHIND_S = 2e9",
        "test_the_cameras_own_clock_is_used_where_it_sends_one_that_can_be_right",
    ),
    _agent(
        "clocks ahead of ours",
        "AHEAD_S = 0.05",
        "AHEAD_S = 5.0",
        "test_the_cameras_own_clock_is_used_where_it_sends_one_that_can_be_right",
    ),
    _agent(
        "combs are left in",
        "self._one_field(frame) if frame.interlaced_frame and height > 1 else frame",
        "frame",
        "test_interlaced_pictures_are_made_of_one_field",
    ),
    _agent(
        "one matrix for all colours",
        "dst_colorspace=BT601 if source == BT709 else BT709",
        "dst_colorspace=source",
        "test_colours_come_out_by_the_matrix_and_range_that_the_picture_names",
    ),
    _agent(
        "scripts are films",
        '"mov,matroska,avi,mpegts,mpeg,flv,asf,',
        '"concat,hls,tty,mov,matroska,avi,mpegts,mpeg,flv,asf,',
        "test_a_file_that_names_others_is_refused",
    ),
    _agent(
        "thirty silent intervals until a stall",
        "STALL_INTERVALS = 3",
        "STALL_INTERVALS = 30",
        "test_a_slow_camera_is_stalled_after_three_of_its_own_intervals",
    ),
    _agent(
        "one late frame ends a stall",
        "AGAIN_FRAMES = 2",
        "AGAIN_FRAMES = 1",
        "test_two_frames_in_a_row_are_needed_after_trouble",
        "test_a_single_late_frame_does_not_end_a_stall",
    ),
    _agent(
        "what a decoder still has counts as a frame of now",
        "if self._remote and now - arrived > stall_s:",
        "if now < arrived:",
        "test_what_a_decoder_gives_back_of_a_dead_stream_is_no_sign_of_life",
    ),
    _agent(
        "a frozen picture is found as soon as it is looked at thrice",
        "held_s >= (hold_s if condition else RELEASE_S)",
        "held_s >= (0.0 if condition else RELEASE_S)",
        "test_a_frozen_picture_is_found_in_ten_seconds_and_not_before",
        "test_a_covered_lens_is_found_and_what_passes_before_it_is_not",
    ),
    _agent(
        "one look ends an alarm of the picture",
        "RELEASE_S = 1.0",
        "RELEASE_S = 10.0",
        "test_a_frozen_picture_is_found_in_ten_seconds_and_not_before",
    ),
    _agent(
        "a pause counts as time of the same picture",
        "LONGEST_S = 1.0  # that one look",
        "LONGEST_S = 1e9  # that one look",
        "test_a_pause_is_no_time_of_the_same_picture",
    ),
    _agent(
        "a quiet scene between two key frames is frozen",
        "limits.frozen_s if keyed else max(limits.frozen_s, KEYLESS_S)",
        "limits.frozen_s",
        "test_a_still_scene_is_not_frozen_before_a_key_frame_says_so",
    ),
    _agent(
        "a person far away is a frozen picture",
        "STILL_CELL = 2.0",
        "STILL_CELL = 200.0",
        "test_frozen_is_below_noise_and_not_only_the_same_bits",
    ),
    _agent(
        "each picture is looked at",
        "LOOK_S = 0.2  # between looks",
        "LOOK_S = 0.0  # between looks",
        "test_it_looks_five_times_a_second_at_most_and_begins_anew_with_another_size",
    ),
    _agent(
        "a new view is never taken for the usual one",
        "ADOPT_S = 600.0",
        "ADOPT_S = 6000.0",
        "test_a_new_view_is_the_usual_one_after_ten_minutes",
    ),
    _agent(
        "the dark is another view",
        "return memory if dark or plain or not limits.moved_share else",
        "return memory if not limits.moved_share else",
        "test_where_the_camera_looks_is_not_asked_in_the_dark",
    ),
    _agent(
        "weaker light is another view",
        "STRONGEST = 8.0",
        "STRONGEST = 1.0",
        "test_a_scene_in_order_gives_no_alarm",
    ),
    _agent(
        "what FFmpeg's parser held back is waited for once more",
        "if time.monotonic() - start >= self._timeouts[1]:",
        "if time.monotonic() < start:",
        "test_a_camera_that_falls_silent_is_stalled_then_lost_and_live_only_when_frames_come_again",
    ),
    _agent(
        "a camera's call is stuck long after its deadline",
        "CALL_MARGIN_S = 2.0",
        "CALL_MARGIN_S = 20.0",
        "test_a_call_that_does_not_return_is_stuck",
    ),
    _agent(
        "a hung source feeds the watchdog for five minutes",
        "HUNG_S = 30.0",
        "HUNG_S = 300.0",
        "test_only_what_delivered_before_and_hangs_for_long_asks_for_another_process",
    ),
    _agent(
        "what has hung from the start ends the process again and again",
        "return self._delivered and call is not None and",
        "return call is not None and",
        "test_only_what_delivered_before_and_hangs_for_long_asks_for_another_process",
    ),
    _agent(
        "a failure is said at each attempt",
        "FIRST_REMINDER_S = 60.0",
        "FIRST_REMINDER_S = 0.6",
        "test_a_failure_is_said_once_and_then_less_and_less_often",
    ),
    _agent(
        "a failure is not said for days",
        "LAST_REMINDER_S = 3600.0",
        "LAST_REMINDER_S = 360000.0",
        "test_a_failure_is_said_once_and_then_less_and_less_often",
    ),
    _agent(
        "kinds of failures without end",
        "MAX_KINDS = 32",
        "MAX_KINDS = 32000",
        "test_kinds_of_failures_are_bounded",
    ),
    _agent(
        "a path that is not there is given up",
        'if self.config.kind == "path" and failure.code in PASSING:',
        "if failure.code in ():",
        "test_a_path_that_is_not_there_yet_is_waited_for",
    ),
    _agent(
        "rate kept from now instead of the due time",
        "max(self._due, now - self._interval) + self._interval",
        "now + self._interval",
        "test_a_rate_is_kept_although_frames_do_not_come_when_they_are_due",
    ),
    _agent(
        "rate made up for without end after a pause",
        "max(self._due, now - self._interval) + self._interval",
        "self._due + self._interval",
        "test_a_rate_is_never_made_up_for_in_a_burst",
    ),
    _agent(
        "a deadline of fifty times the usual",
        "FACTOR = 5\n",
        "FACTOR = 50\n",
        "test_slow_invocations_have_five_times_their_usual_time",
    ),
    _agent(
        "a deadline of minutes",
        "LONGEST_S = 20.0",
        "LONGEST_S = 200.0",
        "test_no_invocation_has_more_than_twenty_seconds",
    ),
    _agent(
        "a deadline of the slowest invocation",
        "PERCENTILE = 0.99",
        "PERCENTILE = 1.0",
        "test_one_slow_invocation_in_a_hundred_changes_no_deadline",
    ),
    _agent(
        "a deadline that forgets no invocation",
        "WINDOW = 500",
        "WINDOW = 50000",
        "test_what_an_invocation_took_is_forgotten_after_five_hundred_others",
    ),
    _agent(
        "quick invocations have less than what is configured",
        "return max(self._timeout_s, min(FACTOR * usual, LONGEST_S))",
        "return min(FACTOR * usual, LONGEST_S)",
        "test_quick_invocations_have_the_time_that_is_configured",
    ),
    _agent(
        "a second of loading for two megabytes",
        "READ_BYTES_PER_S = 20e6",
        "READ_BYTES_PER_S = 2e6",
        "test_opening_and_loading_have_a_deadline_of_their_own",
    ),
    _agent(
        "a pause of the process makes a call old",
        "self._awake += min(now - self._looked, LONGEST_LOOK_S)",
        "self._awake += now - self._looked",
        "test_time_in_which_the_process_stood_still_makes_no_call_older",
    ),
    _agent(
        "a call inherits the age of the one before it",
        "if entered != since:",
        "if False:",
        "test_every_call_has_its_own_age",
    ),
    _agent(
        "a hung daemon is given a quarter of a minute to end",
        "ABANDON_S = 1.5",
        "ABANDON_S = 15.0",
        "test_a_main_loop_that_does_not_end_a_hung_daemon_is_not_waited_for",
    ),
    _agent(
        "a doubt is gone into in every frame",
        "DOUBT_PAUSE_S = 10.0",
        "DOUBT_PAUSE_S = 0.0",
        "test_an_unfounded_doubt_is_gone_into_once_in_ten_seconds",
    ),
    _agent(
        "outputs that look wrong are published",
        "if not kind or now < self._next_doubt:",
        "if True:",
        "test_outputs_that_look_wrong_are_not_published",
    ),
    _agent(
        "one channel of a picture looked at",
        "(len(flat) // share) | 1",
        "(len(flat) // share)",
        "test_what_is_looked_at_are_all_bytes_of_numbers_and_all_channels",
    ),
    _agent(
        "whoever lent its process cannot be interrupted any more",
        "self._previous if self._lent else",
        "self._previous if not self else",
        "test_somebody_elses_process_has_its_handlers_back",
    ),
    _agent(
        "after a retry the first lane alone is tested",
        "(lanes or [slot.lane])",
        "[slot.lane]",
        "test_a_start_in_which_one_lane_of_several_computes_wrong_is_none",
    ),
    _agent(
        "no thread left, and no end when the device hangs",
        "contextlib.suppress(RuntimeError, MemoryError):",
        "contextlib.suppress(MemoryError):",
        "test_without_a_thread_there_is_none",
    ),
    _agent(
        "the golden frame on one lane alone",
        "self._lane = (self._lane + 1) % self._engine.lanes",
        "self._lane = 0",
        "test_the_golden_frame_goes_round_the_lanes_when_it_is_due",
    ),
    _agent(
        "a golden frame that is never due",
        "self.due = now + self._interval_s",
        "self.due = now + 10 * self._interval_s",
        "test_the_golden_frame_goes_round_the_lanes_when_it_is_due",
    ),
    _agent(
        "a recovery is believed without the golden frame",
        "if self._golden is not None:  # what",
        "if False:  # what",
        "test_a_step_has_helped_only_if_the_golden_frame_passes",
    ),
    _agent(
        "buffers that hold what the golden frame left in them",
        "array.reshape(-1).view(np.uint8)[:] = PATTERN",
        "pass",
        "test_each_way_to_be_wrong_fails_the_golden_frame",
    ),
    _agent(
        "a golden file of any size",
        "MAX_OUTPUTS = 64",
        "MAX_OUTPUTS = 640",
        "test_a_wrong_file_is_refused_with_the_field",
    ),
    _agent(
        "a failure from before the device was made anew is told after it",
        "slot.failure = None  # that of an earlier try is over",
        "pass",
        "test_each_failure_is_named_mended_and_counted",
    ),
    _agent(
        "a wrong device time is believed",
        "not 0.0 <= told_us <= most_us",
        "False",
        "test_a_device_time_that_cannot_be_is_counted_and_not_used",
    ),
    _agent(
        "the ladder never forgives an error every three seconds",
        "forgiven = self._works or",
        "forgiven =",
        "test_errors_that_recover_never_end_the_process",
    ),
    _agent(
        "the ladder forgives a device that fails everything",
        "first = 0 if forgiven else self._helped + 1",
        "first = 0",
        "test_a_device_that_fails_every_invocation_comes_to_the_end",
    ),
    _agent(
        "a device failure is progress",
        "self._progress += reason != DEVICE",
        "self._progress += 1",
        "test_frames_that_the_device_fails_do_not_feed_the_watchdog",
    ),
    _agent(
        "second subscribers of a topic unheard",
        "(zmq.XPUB_VERBOSE, 1)",
        "(zmq.XPUB_VERBOSE, 0)",
        "test_every_subscription_is_heard_of_also_the_second_of_a_topic",
    ),
    _agent(
        "subscribers may send anything",
        "(zmq.MAXMSGSIZE, MAX_INBOUND)",
        "(zmq.MAXMSGSIZE, -1)",
        "test_a_subscriber_that_sends_more_than_a_subscription_is_cut_off",
    ),
    _agent(
        "peers may send for ever",
        "if self._allowance < 0:",
        "if False:",
        "test_whoever_sends_too_much_is_cut_off_and_nobody_else_notices",
    ),
    _agent(
        "peers may send much at once",
        "ALLOWANCE = 32 << 10",
        "ALLOWANCE = 32 << 14",
        "test_whoever_sends_too_much_is_cut_off_and_nobody_else_notices",
    ),
    _agent(
        "peers may send more and more",
        "ALLOWANCE_PER_S = 32",
        "ALLOWANCE_PER_S = 3200",
        "test_whoever_sends_too_much_is_cut_off_and_nobody_else_notices",
    ),
    _agent(
        "subscriptions without end",
        "if self._subscribed > MAX_SUBSCRIBED:",
        "if False:",
        "test_all_subscriptions_together_are_bounded",
    ),
    _agent(
        "all that comes in is taken in at once",
        "INBOUND_PER_S = 1 << 19",
        "INBOUND_PER_S = 1 << 23",
        "test_what_comes_in_is_half_a_mebibyte_a_second",
    ),
    _agent(
        "a peer's queue has no end",
        "(zmq.SNDHWM, self._config.high_water_mark)",
        "(zmq.SNDHWM, 0)",
        "test_who_never_reads_holds_up_nobody",
    ),
    _agent(
        "any number of peers",
        "return max(1, min(MAX_PEERS, descriptors // DESCRIPTORS_SHARE)) if descriptors >= 0 else MAX_PEERS",
        "return 1 << 20",
        "test_a_newcomer_takes_the_place_of_who_asked_for_nothing",
    ),
    _agent(
        "peers that never read keep their place",
        "leaving = (idle or stuck)[:1] or",
        "leaving = idle[:1] or",
        "test_a_newcomer_takes_the_place_of_who_asked_for_nothing",
    ),
    _agent(
        "one process takes every place",
        "if count <= owners[newcomer] + 1:",
        "if True:",
        "test_a_newcomer_takes_the_place_of_who_has_most",
    ),
    _agent(
        "no descriptor left for libzmq",
        "DESCRIPTORS_LEFT = 16",
        "DESCRIPTORS_LEFT = 0",
        "test_libzmq_always_finds_a_descriptor",
    ),
    _agent(
        "silence for ever",
        "if passage.inner is None and now - passage.since > SILENT_S",
        "if False",
        "test_who_says_nothing_is_sent_away",
    ),
    _agent(
        "half a handshake for ever",
        "(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)",
        "(zmq.HANDSHAKE_IVL, 0)",
        "test_who_says_nothing_is_sent_away",
    ),
    _agent(
        "newcomers told of each time",
        "NEWS_EVERY_S = 0.05",
        "NEWS_EVERY_S = 0.0",
        "test_many_who_come_at_once_are_told_of_now_and_then",
    ),
    _agent(
        "messages of any depth",
        "MAX_DEPTH = 16",
        "MAX_DEPTH = 100",
        "test_what_is_no_message_gives_one_sentence",
    ),
    _agent(
        "the source heard last is forgotten first",
        "known = self._next.pop(key, None)",
        "known = self._next.get(key)",
        "test_the_source_that_is_unheard_for_longest_gives_way",
    ),
    _agent(
        "terminals obey what messages say",
        'return printable(f"{message.kind:<10} {words}")',
        'return f"{message.kind:<10} {words}"',
        "test_a_line_shows_what_a_terminal_would_obey",
    ),
    _agent(
        "two invocations at once in a context",
        "if self._lane.last is not None:",
        "if False:",
        "test_a_context_never_has_two_invocations_at_once",
    ),
    _agent(
        "old outputs taken for those of a failed invocation",
        "            self._queue.sync()\n        finally:",
        "        finally:",
        "test_outputs_of_a_failed_invocation_are_never_taken_for_those_of_its_picture",
    ),
    _agent(
        "watchdog fed by a loop that only turns",
        "if worker.idle or self._moved(worker)}",
        "}",
        "test_the_watchdog_is_fed_by_progress_and_not_by_a_loop_that_only_turns",
    ),
    _agent(
        "watchdog fed twice a period",
        "MEALS_PER_PERIOD = 4",
        "MEALS_PER_PERIOD = 2",
        "test_the_watchdog_is_fed_four_times_a_period_at_most",
    ),
    _agent(
        "watchdog fed as long as one worker works",
        "[worker.name for worker in workers if worker.name not in self._well]",
        "[] if self._well else [worker.name for worker in workers]",
        "test_one_stuck_worker_starves_the_watchdog_whatever_the_others_do",
    ),
    _agent(
        "a hungry watchdog is said when it is too late",
        "STARVING_PERIODS = 0.5",
        "STARVING_PERIODS = 2.0",
        "test_one_stuck_worker_starves_the_watchdog_whatever_the_others_do",
    ),
    _agent(
        "a manager that does not read stops the daemon",
        "self._socket.sendto(data, socket.MSG_DONTWAIT, address)",
        "self._socket.sendto(data, address)",
        "test_a_manager_that_does_not_read_holds_nobody_up_and_is_told_what_matters_later",
    ),
    _agent(
        "more and more kept for a manager that does not read",
        "MAX_UNSENT = 16",
        "MAX_UNSENT = 160",
        "test_a_manager_that_does_not_read_holds_nobody_up_and_is_told_what_matters_later",
    ),
    _agent(
        "ten times as much log kept",
        "MAX_WAITING = 1 << 20",
        "MAX_WAITING = 10 << 20",
        "test_the_log_keeps_a_mebibyte_and_tries_again_every_second",
    ),
    _agent(
        "a log that fails is tried again every ten seconds",
        "RETRY_S = 1.0\n\n\nclass Output",
        "RETRY_S = 10.0\n\n\nclass Output",
        "test_the_log_keeps_a_mebibyte_and_tries_again_every_second",
    ),
    _agent(
        "log lines kept without a bound",
        "if self._size + len(data) > room:",
        "if False:",
        "test_a_reader_that_sleeps_costs_lines_only_beyond_the_bound_and_the_number_is_told",
    ),
    _agent(
        "log lines lost and told one by one",
        "room = self._limit // 2 if self._missed else self._limit",
        "room = self._limit",
        "test_lines_are_taken_again_when_half_of_the_room_is_free_and_the_gap_stands_in_its_place",
    ),
    _agent(
        "log lines lost without a word",
        "                self._missed += 1\n",
        "",
        "test_a_reader_that_sleeps_costs_lines_only_beyond_the_bound_and_the_number_is_told",
    ),
    _agent(
        "the start tried again every twenty seconds",
        "RETRY_S = 2.0\nSAID",
        "RETRY_S = 20.0\nSAID",
        "test_what_may_pass_is_tried_every_two_seconds_and_said_every_ten_minutes",
    ),
    _agent(
        "what is waited for is said at each attempt",
        "SAID_AGAIN_S = 600.0",
        "SAID_AGAIN_S = 6.0",
        "test_what_may_pass_is_tried_every_two_seconds_and_said_every_ten_minutes",
    ),
    _agent(
        "a model that is being copied is broken",
        "if error.passes or seen == before:",
        "if True:",
        "test_a_model_is_wrong_for_good_only_if_its_files_stay_as_they_are",
    ),
    _agent(
        "a box stays dead while somebody has its endpoint",
        "(isinstance(error, EndpointInUse) and not self._notifications.wanted)",
        "isinstance(error, EndpointInUse)",
        "test_an_endpoint_in_use_is_waited_for_only_if_somebody_else_starts_us",
    ),
    _agent(
        "a real-time signal kills",
        "signal.signal(number, _nothing)",
        "pass",
        "test_no_signal_but_those_that_tell_of_a_fault_ends_the_process_unasked",
    ),
    _agent(
        "nohup is undone",
        "if signal.getsignal(number) is signal.SIG_DFL:",
        "if True:",
        "test_a_signal_that_was_ignored_at_the_start_stays_so",
    ),
    _agent(
        "an end without a limit",
        "if self._limit_s and not deadline:",
        "if False:",
        "test_a_main_thread_that_hangs_in_the_device_can_be_stopped",
    ),
    _agent(
        "a second Ctrl-C inside a call that hangs",
        "while interrupts < 2:",
        "while interrupts < 3:",
        "test_a_second_interruption_ends_a_command_inside_a_call_that_never_returns",
    ),
    _agent(
        "a missing password file that hides the rest",
        "error.passes = all(",
        "error.passes = any(",
        "test_a_password_file_that_is_not_there_hides_no_other_problem",
    ),
    _agent(
        "a source that hangs for good feeds the watchdog",
        "not one.hung(now))",
        "True)",
        "test_a_source_that_hangs_for_good_starves_the_watchdog_and_one_that_is_silent_does_not",
    ),
    _agent(
        "a heartbeat every tenth time it is due",
        "self._next_heartbeat = now + self._config.publish.heartbeat_s",
        "self._next_heartbeat = now + 10 * self._config.publish.heartbeat_s",
        "test_a_heartbeat_comes_when_it_was_promised",
    ),
    _agent(
        "a bucket without its bound",
        "bisect.bisect_left(BUCKETS_MS, milliseconds)",
        "bisect.bisect_right(BUCKETS_MS, milliseconds)",
        "test_a_bucket_holds_what_is_at_most_its_bound",
    ),
    _agent(
        "a loop that sleeps through a stall",
        "[self._next_heartbeat, *(source.stall_due(now) for source in self.sources.values())]",
        "[self._next_heartbeat]",
        "test_whoever_sleeps_until_it_is_due_misses_no_stall_and_no_heartbeat",
    ),
    _agent(
        "calm after six seconds",
        "CALM_S = 60.0",
        "CALM_S = 6.0",
        "test_a_minute_without_a_failure_is_calm",
    ),
    _agent(
        "twenty pictures of a file decoded in advance",
        "FILE_CAPACITY = 2",
        "FILE_CAPACITY = 20",
        "test_no_more_than_two_pictures_of_a_file_are_decoded_in_advance",
    ),
    _agent(
        "live frames fill the slots",
        "live=now >= live_at",
        "live=True",
        "test_live_items_stay_replaceable_until_they_may_be_taken",
        "test_a_live_frame_stays_replaceable_until_a_lane_is_about_to_be_free",
    ),
    _agent(
        "recorded frames held back like live ones",
        "if box and (live or not box.live):",
        "if box and live:",
        "test_recorded_frames_wait_for_no_lane",
    ),
    _agent(
        "a lane's end forgotten when one of its two invocations ended",
        "now + self._inside * self._pace.duration_s if self._inside else 0.0",
        "0.0",
        "test_a_lane_ends_when_all_that_it_has_takes_as_long_as_usual",
    ),
    _agent(
        "a lane for each core, whatever the host can keep busy",
        "if wanted is None else wanted\n    if not 1",
        "if wanted == 0 else wanted or available\n    if not 1",
        "test_the_simulator_gets_no_more_lanes_than_the_host_keeps_busy",
    ),
    _agent(
        "a live mailbox keeps the oldest frame",
        "self._items.clear()\n                outcome = _REPLACED",
        "return _REPLACED",
        "test_a_live_mailbox_keeps_the_newest_item_and_tells_what_gave_way",
    ),
    _agent(
        "pauses of reconnecting grow threefold",
        "self._delay = min(self._delay * 2, self._limit)",
        "self._delay = min(self._delay * 3, self._limit)",
        "test_backoff_doubles_to_its_limit_with_a_fifth_of_jitter",
    ),
    _agent(
        "a listener calls again after half a minute",
        "_RECONNECT_MAX_MS = 1_000",
        "_RECONNECT_MAX_MS = 30_000",
        "test_an_agent_that_was_long_away_is_called_again_within_a_second",
    ),
    _agent(
        "as much memory for a file as it may have at most",
        "file.read(min(limit, likely))",
        "file.read(limit)",
        "test_a_small_file_costs_little_memory_however_large_it_may_be",
    ),
    _agent(
        "nine tenths of jitter between attempts",
        "BACKOFF_JITTER = 0.2",
        "BACKOFF_JITTER = 0.9",
        "test_backoff_doubles_to_its_limit_with_a_fifth_of_jitter",
    ),
    _agent(
        "suppression by overlap over the sum",
        "overlap *= np.float32(1 + iou)",
        "overlap *= np.float32(1)",
        "test_a_pair_at_exactly_the_threshold_stays",
    ),
    _agent(
        "suppression at exactly the threshold",
        "result: NDArray[np.bool_] = overlap > height",
        "result: NDArray[np.bool_] = overlap >= height",
        "test_a_pair_at_exactly_the_threshold_stays",
    ),
    _agent(
        "scratch memory that is not made anew for heads of another shape",
        "if known == self._known:",
        "if self._known:",
        "test_what_is_kept_between_pictures_cannot_be_seen",
    ),
    _agent(
        "the rest of many candidates is never sorted",
        "for side in (negative <= limit, negative > limit):",
        "for side in (negative <= limit,):",
        "test_suppression_equals_the_greedy_definition",
    ),
    _agent(
        "a confidence at the threshold is none",
        "passed = score >= np.float32(confidence)",
        "passed = score > np.float32(confidence)",
        "test_a_confidence_at_exactly_the_threshold_is_a_detection",
    ),
    _agent(
        "letterbox borders rounded up",
        "left, top = (spec.width - new_width) // 2, (spec.height - new_height) // 2",
        "left, top = (spec.width - new_width + 1) // 2, (spec.height - new_height + 1) // 2",
        "test_every_layout_equals_the_definition_to_the_byte",
    ),
    _agent(
        "boxes beyond the frame",
        "return np.clip(boxes, np.float32(0), limit, out=boxes)",
        "return boxes",
        "test_inverted_boxes_are_clipped_to_the_frame_and_the_given_ones_stay",
    ),
    _agent(
        "a changed model is loaded",
        "if digest != sha256:",
        "if False:",
        "test_a_changed_model_is_refused",
    ),
    _agent(
        "messages of any size",
        "if len(frame) > MAX_MESSAGE:",
        "if False:",
        "test_what_is_no_message_gives_one_sentence",
    ),
    _agent(
        "every tcp address is local",
        'endpoint.startswith("tcp://") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)',
        'endpoint.startswith("tcp://")',
        "test_other_machines_are_let_in_only_on_request",
    ),
    _agent(
        "frames that were empty counted as lost",
        "lost = sequence - expected - max(0, omitted - omitted_before)",
        "lost = sequence - expected",
        "test_omitted_empty_frames_are_no_loss",
    ),
    _agent(
        "pictures of five hundred million pixels",
        "MAX_PIXELS = 50_000_000",
        "MAX_PIXELS = 500_000_000",
        "test_a_picture_of_too_many_pixels_is_refused",
    ),
    _agent(
        "a thousand passes over a JPEG",
        "MAX_SCANS = 100",
        "MAX_SCANS = 1000",
        "test_a_jpeg_of_endless_scans_or_segments_is_refused",
    ),
    _agent(
        "a TIFF's tiles as large as they say",
        "    if 322 in tags or 323 in tags:",
        "    if not tags:",
        "test_a_tiff_of_too_many_pixels_is_refused",
    ),
    _agent(
        "a TIFF's size taken from either of two",
        "if tag in tags or kind not in _TIFF_TYPES:",
        "if kind not in _TIFF_TYPES:",
        "test_a_tiff_that_can_be_read_in_two_ways_is_refused",
    ),
    _agent(
        "a long key in a path shown",
        "len(piece) > LONG_NAME or",
        "len(piece) > 8 * LONG_NAME or",
        "test_a_key_of_letters_alone_does_not_show",
    ),
    _agent(
        "sentences of others without end",
        "LONGEST_SENTENCE = 1000",
        "LONGEST_SENTENCE = 1000000",
        "test_a_sentence_of_others_is_bounded",
    ),
    _agent(
        "a password's raw slash taken for the end of the host",
        'return match is not None and "@" in match[3] + match[4] and',
        'return match is not None and "@" in match[4] and',
        "test_a_password_whose_end_cannot_be_told_is_noticed",
    ),
    _agent(
        "a planted temporary file written into",
        "os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW |",
        "os.O_RDWR | os.O_CREAT |",
        "test_links_that_wait_are_not_followed",
    ),
    _agent(
        "a file that is being made removed",
        "LEFT_S = 60.0",
        "LEFT_S = 0.0",
        "test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not",
    ),
    _agent(
        "a second copy in the place of an input",
        r'(-\d+)?\.(jpg|mp4)")',
        r'\.(jpg|mp4)")',
        "test_no_input_is_replaced",
    ),
    _agent(
        "a longer side than JPEG has",
        "JPEG_SIDE = 65_500",
        "JPEG_SIDE = 80_000",
        "test_a_picture_beyond_the_bounds_of_jpeg_is_made_smaller",
    ),
    _agent(
        "snapshots of a gigabyte",
        "MAX_SNAPSHOT_BYTES = 32 << 20",
        "MAX_SNAPSHOT_BYTES = 32 << 25",
        "test_what_is_no_picture_within_the_bounds_is_told",
    ),
    _agent(
        "ten snapshots a second unless told otherwise",
        "SNAPSHOTS_PER_S = 1.0",
        "SNAPSHOTS_PER_S = 10.0",
        "test_pictures_are_asked_for_at_the_rate_that_is_wanted",
    ),
    _agent(
        "each byte of a snapshot may take its time",
        "        left = self._deadline - time.monotonic()",
        "        left = 5.0",
        "test_what_is_no_picture_within_the_bounds_is_told",
    ),
    _agent(
        "a wrong password tried again at once",
        'return not before or worked or fresh.get("stale"',
        'return not before or True or fresh.get("stale"',
        "test_a_nonce_that_grew_old_is_renewed",
    ),
    _agent(
        "a password file of any length",
        "MAX_PASSWORD = 1024",
        "MAX_PASSWORD = 1 << 20",
        "test_a_password_file_holds_one_line",
    ),
    _agent(
        "numbers of a thousand bits",
        "_INTEGER_BITS = 64",
        "_INTEGER_BITS = 100000",
        "test_a_number_that_is_too_large_is_told_in_our_words",
    ),
    _agent(
        "picture files of half a gigabyte",
        "MAX_FILE_BYTES = 256 * 1024 * 1024",
        "MAX_FILE_BYTES = 512 * 1024 * 1024",
        "test_a_file_of_too_many_bytes_is_not_read",
    ),
    _agent(
        "a server's questions of any length",
        "LONGEST_CHALLENGE = 1024",
        "LONGEST_CHALLENGE = 1 << 20",
        "test_a_question_without_end_is_not_read_to_its_end",
    ),
    _agent(
        "any number of a server's questions",
        "MOST_CHALLENGES = 8",
        "MOST_CHALLENGES = 800",
        "test_a_question_without_end_is_not_read_to_its_end",
    ),
)

NATIVE = (
    _native(
        "checksums of a file's parts put together without what follows them",
        "crc = shift(shift(crc, part) ^ second, part) ^ third;",
        "crc = shift(crc ^ second, part) ^ third;",
        "container",
    ),
    _native("halves rounded away from zero", "return (int32_t)rintf(v);", "return (int32_t)roundf(v);", "kernels"),
    _native("codes down to -128", "v = v > -qmax ? v : -qmax;", "v = v > -qmax - 1 ? v : -qmax - 1;", "kernels"),
    _native(
        "halves of half precision rounded up",
        "const uint32_t odd = magnitude >> 13 & 1u;",
        "const uint32_t odd = 1u;",
        "kernels",
    ),
    _native(
        "sums of a minimal filter beyond the bits that are left of them",
        "if (127 * sum >= (1LL << (31 - f->shift))) {",
        "if (127 * sum >= (1LL << (32 - f->shift))) {",
        "kernels",
    ),
    _native(
        "sums of bytes that keep what the zeros added",
        "start[o] = (int32_t)(0u - (uint32_t)tile->zero * (uint32_t)sum);",
        "start[o] = (int32_t)(0u * (uint32_t)tile->zero * (uint32_t)sum);",
        "kernels",
    ),
    _native(
        "half a block for more channels than it has",
        "return tile->dot_half && rest <= tile->channels / 2 ?",
        "return tile->dot_half && rest <= tile->channels / 2 + 1 ?",
        "kernels",
    ),
    _native(
        "codes kept as steps that are none",
        "if (above < 0 || above > 1 || (greater && !above)) {",
        "if (above < 0 || above > 2 || (greater && !above)) {",
        "kernels",
    ),
    _native("a step of a range one half late", "(low + i - 1) & 0xff", "(low + i) & 0xff", "kernels"),
    _native("sums of parts of int16 values beyond 32 bits", "MOST_TERMS = 511,", "MOST_TERMS = 1022,", "kernels"),
    _native("rows without room past their end", "* 1024, PAST_THE_END = 64", "* 1024, PAST_THE_END = 0", "kernels"),
    _native("quantized tensors without room past their end", "SIM_PAST_BYTES = 64", "SIM_PAST_BYTES = 0", "kernels"),
    _native("more runs than there is room for", "<= SIM_MOST_RUNS &&", "<= SIM_MOST_RUNS + 16 &&", "kernels"),
    _native("sums of int16 products beyond float64", "volume <= MOST_VOLUME)", "volume <= MOST_VOLUME + 1)", "kernels"),
    _native(
        "rows of any size in scratch memory",
        "<= SCRATCH_LIMIT / row_bytes(rows)",
        "<= 2 * SCRATCH_LIMIT / row_bytes(rows)",
        "kernels",
    ),
    _native(
        "tiles of any size in scratch memory",
        "bytes_of(&c, f, 1) <= SCRATCH_LIMIT",
        "bytes_of(&c, f, 1) <= 2 * SCRATCH_LIMIT",
        "kernels",
    ),
    _native("boxes suppress those of other classes", "last[b.label], &b)", "count - 1, &b)", "network_golden_more"),
    _native("positions of a quantizer the other way round", "-positions[channel]", "positions[channel]", "api_data"),
    _native("integers cut off", "double rounded = rint(value);", "double rounded = trunc(value);", "api_data"),
    _native(
        "a part of a model file may end anywhere",
        "if (c->at > c->end || count > c->end - c->at) {",
        "if (false) {",
        "container",
    ),
    _native("checksums are not looked at", "if (stored != actual) {", "if (false) {", "container"),
    _native(
        "names of any length",
        "if (length >= SIM_MAX_NAME) {\n        sim_fail",
        "if (false) {\n        sim_fail",
        "container",
    ),
    _native(
        "kernels whose sums may overflow where a model is loaded",
        "MAX_INT8_VOLUME = 133143",
        "MAX_INT8_VOLUME = 133144",
        "container",
    ),
    _native("the code -128 in weights", "return lowest ? BAD(", "return false ? BAD(", "container"),
    _native(
        "constants beyond their data", "elements > (l->data_size - offset)", "elements > (l->data_size)", "container"
    ),
    _native("tensors read before they are written", " || !written[op->inputs[i]]", "", "container"),
    _native("buffers too small for a tensor", "available < (size_t)io->bytes", "false", "api_context"),
    _native("a part of a processor that is none", " + (quota % period > 0)", "", "core"),
    _native(
        "a share of time beyond all bounds",
        "whole < SIM_MAX_SEATS ? (unsigned)whole : SIM_MAX_SEATS",
        "(unsigned)whole",
        "core",
    ),
    _native(
        "a host's processors counted where nothing is computed",
        " && sim_environment_get()->compute != SIM_COMPUTE_NOTHING",
        "",
        "api_knobs_threads_do_not_count",
    ),
    _native(
        "all cores of a device given to whoever asks first",
        "seats->first_waiter == NULL ? take",
        "1 ? take",
        "api_core",
    ),
    _native(
        "memory used after it was freed", "sim_memory_is_freed(work->as.invoke.blocks[index])", "false", "api_core"
    ),
    _native(
        "the last failure told instead of the first", " && queue->failure.code == CNRT_RET_SUCCESS", "", "api_core"
    ),
    _native(
        "recorded outputs whose digest nobody compares",
        "stored == sim_digest(bytes,",
        "true || stored == sim_digest(bytes,",
        "core",
    ),
    _native("one scale for two readers", "n->values |= other;", "n->values |= false;", "network_random"),
    _native(
        "bytes where values are read",
        "const bool all = n->bytes && !n->values && values->output == NONE;",
        "const bool all = n->bytes && values->output == NONE;",
        "network_random",
    ),
    _native(
        "values that round on their way are bytes",
        "(row->passes && same_dtype(b, op))",
        "(row->passes && (true || same_dtype(b, op)))",
        "network_operators",
    ),
    _native(
        "a sum before its other part is written",
        "other->producer < own->conv && ",
        "other->producer != own->conv && ",
        "network_operators",
    ),
    _native(
        "no code for a NaN",
        "_mm512_min_ps(most, _mm512_mul_ps(v[i], factor))",
        "_mm512_min_ps(_mm512_mul_ps(v[i], factor), most)",
        "kernels",
    ),
    _native(
        "the least code of a pool is zero",
        "(kernels->bytes.zero - SIM_BYTE_MAX)",
        "(kernels->bytes.zero)",
        "network_random",
    ),
    _native("a cut above the confidence", "(1.0 - 4e-6)", "(1.0 + 4e-6)", "operators"),
    _native("a cut where exp has stopped", "if (!(low > 1e-30)) {", "if (!(low > 1e-45)) {", "operators"),
    _native("a class bound without its margin", "/ objectness * 0.999f", "/ objectness * 1.001f", "operators"),
    _native("NaNs below infinity are small", "smallest < in_order(0xfc00) ||", "false ||", "operators"),
    _native("one record more than there is room for", "SIM_MOST_RECORDS = 64,", "SIM_MOST_RECORDS = 65,", "core"),
    _native(
        "a copy that costs nothing but its start", "(double)bytes / timing->transfer +", "0 * (double)bytes +", "core"
    ),
    _native("estimates without the cost of a step", " + timing->launch_s;", ";", "api_knobs_estimate"),
    _native(
        "estimates without constants",
        "cost->bytes += (double)constant->elements",
        "cost->bytes += 0 * (double)constant->elements",
        "api_knobs_estimate",
    ),
    _native("estimates of sums that cost nothing", "which < 2 && !b->for_costs;", "which < 2;", "network_estimates"),
    _native("estimates without functions by table", "!b->for_costs && dtype", "dtype", "network_estimates"),
    _native(
        "a lost device takes its neighbour along",
        "(rule->lost_devices >> device & 1) != 0",
        "(rule->lost_devices >> (device & 0)) != 0",
        "core",
    ),
    _native("a fault of every call but the n-th", "rule->calls == rule->nth", "rule->calls != rule->nth", "core"),
    _native("chance without its seed", "mixed(mixed(mixed(seed) +", "mixed(mixed(mixed(seed & 0) +", "core"),
    _native(
        "fault files of any length",
        "if (bytes > SIM_TOML_MOST_BYTES) {",
        "if (bytes > 2 * SIM_TOML_MOST_BYTES) {",
        "core",
    ),
    _native("one fault more than there is room for", "SIM_MOST_RULES = 256,", "SIM_MOST_RULES = 257,", "core"),
    _native(
        "a lost device keeps what is given back",
        "(sim_function_traits(function) & SIM_SURVIVES) == 0;",
        "true;",
        "core",
    ),
)

EXPORT = (
    _export(
        "a zip that unpacks to anything",
        "total > min(MAX_ARCHIVE_BYTES, MAX_RATIO * size + SLACK)",
        "total > MAX_ARCHIVE_BYTES",
        "test_a_zip_bomb_is_refused_before_it_unpacks",
    ),
    _export(
        "one storage shown as many tensors",
        "if self._left < 0:",
        "if False:",
        "test_one_storage_shown_a_thousand_times_is_refused",
    ),
    _agent(
        "half-written files left behind",
        """    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise""",
        """    except BaseException:
        raise""",
        "test_files_are_written_all_or_none",
        "test_a_full_disk_leaves_the_old_file_and_nothing_else",
    ),
    _export(
        "weights quantized to -128 and 128",
        "return (1 << (bits - 1)) - 1",
        "return 1 << (bits - 1)",
        "test_weights_are_quantized_per_channel_as_the_vendor_does",
    ),
    _export(
        "weights that a scale of their own clips",
        "integers = np.clip(values, -qmax, qmax)",
        "integers = np.clip(values, -qmax - 1, qmax)",
        "test_weights_beyond_a_given_magnitude_are_clipped_alike_on_both_sides",
    ),
    _export(
        "weights cut off instead of rounded",
        "values = np.rint(weight",
        "values = np.trunc(weight",
        "test_weights_are_quantized_per_channel_as_the_vendor_does",
    ),
    _export(
        "kernels whose sums may overflow",
        "MAX_INT8_KERNEL = 133_143",
        "MAX_INT8_KERNEL = 133_144",
        "test_sums_that_could_overflow_are_refused",
    ),
    _export(
        "a recipe for other weights",
        "if recipe.weights_sha256 != source.sha256:",
        "if False:",
        "test_wrong_files_give_one_sentence_and_nothing_is_written",
    ),
    _export(
        "a pickle may name anything",
        'if module.split(".", maxsplit=1)[0] in RECORD_MODULES or (',
        "if True or (",
        "test_a_pickle_that_would_run_something_runs_nothing",
    ),
    _export(
        "no checksum in the model file",
        'struct.pack_into("<I", data, CRC_OFFSET, zlib.crc32(data))',
        'struct.pack_into("<I", data, CRC_OFFSET, 0)',
        "test_the_file_is_a_container_that_the_agent_reads",
    ),
    _export(
        "model names too long for the header",
        "if not 0 < len(encoded) <= 127:",
        "if not 0 < len(encoded) <= 128:",
        "test_names_are_bounded",
    ),
)

CHANGES = AGENT + NATIVE + EXPORT
