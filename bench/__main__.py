"""The command: `python -m bench`."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
from pathlib import Path

import orjson

from bench import measure, report, server
from bench.scenarios import MODELS, SCENARIOS, Scenario

RESULTS = server.ROOT / "bench" / "results"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure a model server under load on this machine. Needs h2load and wrk.",
        epilog=f"Scenarios: {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--scenario", nargs="+", default=list(SCENARIOS), metavar="NAME", help="default: all")
    parser.add_argument("--seconds", type=int, default=5, help="how long each is measured (default 5)")
    parser.add_argument("--server-flags", default="", help="more flags for our server, such as --enable_batching")
    parser.add_argument("--target", metavar="HOST:GRPC:REST", help="measure a server that runs instead of ours")
    parser.add_argument("--pid", type=int, nargs="+", default=[], help="with --target: its processes, to read CPU time")
    parser.add_argument(
        "--models", type=Path, default=RESULTS / "models", help="folder of the models, written if absent"
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only write the models and a --model_config_file of them"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "latest.json", help="file for the results")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status: 0 all measured, 1 a scenario failed, 2 nothing could be measured."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    if arguments.seconds < 1:
        parser.error("--seconds must be at least 1")
    if arguments.target and arguments.server_flags:
        parser.error("--server-flags is for a server started here, not for --target")
    if arguments.pid and not arguments.target:
        parser.error("--pid goes with --target")
    try:
        return _run(arguments)
    except (server.ServerFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        scenarios = [SCENARIOS[name] for name in arguments.scenario]
        if arguments.target and not arguments.prepare:
            target = server.Target.parse(arguments.target, arguments.pid)
            results = _measure(scenarios, target, arguments.seconds, folder)
        else:
            arguments.models.mkdir(parents=True, exist_ok=True)
            server.write_models(arguments.models, MODELS)
            config = server.write_config(arguments.models, MODELS, arguments.models if arguments.prepare else folder)
            if arguments.prepare:
                print(config)
                return 0
            flags = [f"--model_config_file={config}", *shlex.split(arguments.server_flags)]
            with server.started(flags, folder / "server.log") as target:
                results = _measure(scenarios, target, arguments.seconds, folder)
    name = arguments.target or shlex.join(["control", *shlex.split(arguments.server_flags)])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(
        orjson.dumps(report.as_json(results, server=name, seconds=arguments.seconds), option=orjson.OPT_INDENT_2)
    )
    bad = [result.scenario for result in results if result.problem]
    if bad:
        print(f"{len(bad)} of {len(results)} scenarios FAILED: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


def _measure(scenarios: list[Scenario], target: server.Target, seconds: int, folder: Path) -> list[measure.Result]:
    results: list[measure.Result] = []
    roles: list[str] = []
    for scenario in scenarios:
        result = measure.measure(scenario, target, seconds=seconds, folder=folder)
        if not roles:
            roles = report.roles_of(result)
            print(report.heading(roles), flush=True)
        print(report.line(result, roles), flush=True)
        results.append(result)
    return results


if __name__ == "__main__":
    server.exit_on_sigterm()
    sys.exit(main())
