"""The control process at work: one loop that observes, decides and acts.

Observed are the file system, the configuration file, peers and child processes. Each of them changes the `Manager`, and a
change schedules one `_flush`, which decides, tells the front ends the new catalog and then each worker its new list.
Flushes are at least `FLUSH_SECONDS` apart, except when a worker was lost: that is told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from functools import partial

import msgspec
import zmq

from control.children import RunDirectory, bind_unix, frontend_spec, local_endpoint, worker_spec
from control.log import LOGGER
from control.manager import Manager
from control.model_config import ModelSettings
from control.options import Options
from control.peers import FRONTEND, WORKER, Peer, PeerTable
from control.ports import Ports
from control.readiness import InitialLoad, Reloads
from control.server import ControlServer
from control.startup import Startup
from control.supervisor import Backoff, Exit, Supervisor
from control.threads import ThreadPool
from control.watcher import Watcher
from protos.channel import Channel, Curve
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import (
    Catalog,
    Desired,
    DesiredServable,
    FrontendReport,
    ModelEntry,
    ReloadReply,
    ReloadRequest,
    WorkerEntry,
    WorkerReport,
)
from protos.public import ModelServerConfig
from protos.text import read_text_file
