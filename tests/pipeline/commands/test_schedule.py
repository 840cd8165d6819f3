import re
from typing import Any

import pytest

from tests.pipeline.commands.conftest import PLACES, VALUES, Ask, only
from tests.pipeline.kfp_server import KfpServer


@pytest.mark.parametrize(
    ("when", "trigger", "said"),
    [
        (("--cron", "0 3 * * 0"), {"cron_schedule": {"cron": "0 0 3 * * 0"}}, "at 0 3 * * 0 UTC"),
        (("--cron", "5 0 3 * * 0"), {"cron_schedule": {"cron": "5 0 3 * * 0"}}, "at 5 0 3 * * 0 UTC"),
        (("--every", "7d"), {"periodic_schedule": {"interval_second": 604800}}, "every 7 d"),
        (("--every", "90m"), {"periodic_schedule": {"interval_second": 5400}}, "every 90 m"),
    ],
)
def test_a_schedule_starts_one_run_at_a_time_and_catches_up_on_none(
    server: KfpServer, ask: Ask, when: tuple[str, ...], trigger: dict[str, Any], said: str
) -> None:
    done = ask("schedule", "create", *when, *PLACES, "epochs=3")
    assert done.exit_code == 0, done.output
    made = only(server.recurring_runs)
    assert made["trigger"] == trigger
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "ENABLE")
    assert made["runtime_config"]["parameters"] == VALUES | {"epochs": 3}
    assert made["pipeline_version_reference"]["pipeline_version_id"] in server.versions
    assert f"Schedule retraining starts a run {said} " in done.output
    assert re.search(
        rf"^retraining +{re.escape(said)} +active +2026-01-02 03:04 ", ask("schedule", "list").output, re.MULTILINE
    )


def test_a_schedule_is_paused_resumed_run_now_and_deleted(server: KfpServer, ask: Ask) -> None:
    assert "There are no schedules" in ask("schedule", "list").output
    for name in ("weekly", "daily", "hourly"):  # more than one page
        assert ask("schedule", "create", "--every", "7d", "--name", name, *PLACES).exit_code == 0
    number, weekly = next(iter(server.recurring_runs.items()))
    assert "weekly is paused" in ask("schedule", "pause", "weekly").output
    assert weekly["status"] == "DISABLED"
    assert "weekly is active" in ask("schedule", "resume", number).output
    assert weekly["status"] == "ENABLED"
    assert ask("schedule", "run-now", "weekly", "--wait").exit_code == 0
    run = only(server.runs)
    assert run["display_name"] == "weekly by hand"
    for field in ("runtime_config", "pipeline_version_reference", "experiment_id"):
        assert run[field] == weekly[field]
    assert "weekly is deleted" in ask("schedule", "delete", "weekly").output
    assert [schedule["display_name"] for schedule in server.recurring_runs.values()] == ["daily", "hourly"]


def test_a_duplicate_or_missing_schedule_is_named(server: KfpServer, ask: Ask) -> None:
    ask("schedule", "create", "--every", "7d", *PLACES)
    again = ask("schedule", "create", "--every", "1d", *PLACES)
    assert again.exit_code == 1
    assert "There is already a schedule retraining" in again.stderr
    for command in ("pause", "resume", "delete", "run-now"):
        missing = ask("schedule", command, "nightly")
        assert missing.exit_code == 1
        assert missing.stderr.startswith("There is no schedule nightly. Existing: retraining")
    assert len(server.recurring_runs) == 1


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("5 0 3 * * 1", "5 0 3 * * 1"),
        ("*/15 8-18/2 1,15 Jan-mar ?", "0 */15 8-18/2 1,15 Jan-mar ?"),
        ("0  3 * *   MON-FRI", "0 0 3 * * MON-FRI"),
        ("@weekly", "@weekly"),
    ],
)
def test_five_cron_fields_are_completed_with_seconds(server: KfpServer, ask: Ask, given: str, sent: str) -> None:
    done = ask("schedule", "create", "--cron", given, *PLACES)
    assert done.exit_code == 0, done.output
    assert only(server.recurring_runs)["trigger"] == {"cron_schedule": {"cron": sent}}


@pytest.mark.parametrize("cron", ["3 * *", "61 3 * * 1", "0 24 * * 1", "0 3 * january 1", "0 3 * * 7", "x 3 * * 1", "@weakly"])
def test_a_cron_expression_that_the_server_refuses_is_explained(server: KfpServer, ask: Ask, cron: str) -> None:
    refused = ask("schedule", "create", "--cron", cron, *PLACES)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("--cron: expected minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day")
    assert f"Received: {cron}. The server says: {server.address}: 400, Schedule cron is not a supported" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not server.recurring_runs


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ((), "expected one of --cron and --every"),
        (("--cron", "0 3 * * 0", "--every", "7d"), "expected one of --cron and --every"),
        (("--every", "weekly"), "--every: expected a number of minutes, hours or days"),
        (("--every", "0d"), "--every: expected a number"),
    ],
)
def test_an_invalid_interval_is_refused_before_anything_is_sent(
    server: KfpServer, ask: Ask, when: tuple[str, ...], message: str
) -> None:
    refused = ask("schedule", "create", *when, *PLACES)
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not server.pipelines
