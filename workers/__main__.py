"""`python -m workers`: one worker process, told by its environment where control is (see `protos.channel`)."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys

from protos import logs
from protos.channel import ENV_ADVERTISE, ENV_BIND, ENV_CONTROL, ENV_NAME, Channel, Curve, new_incarnation
from protos.flight_record import ENV_FLIGHT_RECORD
from protos.heap import keep_freed_memory
from protos.orphan import die_with_parent


def main() -> None:
    """Run a worker until it is told to stop."""
    env = os.environ
    die_with_parent(env)
    keep_freed_memory()
    # Ctrl-C reaches the whole process group; control alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = env.get(ENV_CONTROL, "")
    bind = env.get(ENV_BIND, "")
    if not control or not bind:
        sys.exit(f"a worker needs {ENV_CONTROL} and {ENV_BIND} in its environment")
    log = logging.getLogger("tensormux.worker")
    logs.setup(log, name=os.environ.get(ENV_NAME, ""))
    try:
        curve = Curve.from_env(env)
    except ValueError as error:
        sys.exit(str(error))

    # TensorFlow is imported here, not above: the lines before must work even when it does not.
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # The allocator of oneDNN never gives memory back to the system: an unloaded model would go on taking its place.
    env.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    from workers import flight
    from workers.worker import Worker

    if record := env.get(ENV_FLIGHT_RECORD, ""):
        try:
            flight.start(record)
        except OSError as error:
            log.warning("cannot record what runs: %s", error)

    # TensorFlow's own objects live forever: the collector need not walk them, nor run often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # Executor threads hand results to the loop: half a millisecond is the longest that one waits for the other.
    sys.setswitchinterval(0.0005)
    incarnation = new_incarnation()
    channel = Channel(curve)
    worker = Worker(
        channel,
        control=control,
        name=env.get(ENV_NAME, "") or f"worker-{incarnation}",
        incarnation=incarnation,
        bind=bind,
        advertise=env.get(ENV_ADVERTISE, ""),
        device=env.get("TENSORMUX_DEVICE", ""),
    )

    def stop(*_: object) -> None:
        worker.stop_requested = True

    signal.signal(signal.SIGTERM, stop)
    worker.run()
    channel.close()
    # Executor threads may still be inside TensorFlow; nothing is left to be saved.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
