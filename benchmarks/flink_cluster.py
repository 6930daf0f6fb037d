"""Builds a corpus on a real Flink cluster of this machine, and compares with a local build.

A JobManager and two TaskManagers run in processes of their own, and the Python workers in theirs.
The corpus is built three times: by the local engine, on the cluster, and on the cluster while one
TaskManager is killed with its worker in the middle of a shard. All files of the three must be the
same, byte for byte.

    python benchmarks/flink_cluster.py
    python benchmarks/flink_cluster.py --spec corpus.yaml --work flink_run --replace
    python benchmarks/flink_cluster.py --nih Data_Entry_2017_v2020.csv.gz

Needs Linux, Java 11 or 17, `mvn`, `pip`, and an environment with `medical_images` and
`apache-beam`. What is downloaded (Flink from a package of PyPI, Beam's runner by Maven; 0.35 GB on
disk) is kept in the folder MEDICAL_IMAGES_FLINK, by default ~/.cache/medical_images/flink.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

CACHE = Path(
    os.environ.get("MEDICAL_IMAGES_FLINK") or Path.home() / ".cache" / "medical_images" / "flink"
)
# A pair that fits: Beam publishes a runner for each minor version of Flink. The runner may be
# older than Beam's Python package, which speaks a protocol that is kept compatible.
FLINK = os.environ.get("FLINK_VERSION", "1.19.3")
BEAM_RUNNER = os.environ.get("BEAM_RUNNER_VERSION", "2.62.0")

SHARDS = 64  # of each split
OPTIONS = (
    # Without it Beam runs all on one TaskManager: its job server does not know the cluster's.
    "parallelism=2",
    # Each stage ends before the next starts. One TaskManager can then do the work of two, and a
    # worker that dies costs its own share of a stage, not the whole job.
    "execution_mode_for_batch=BATCH_FORCED",
)
# Packages that Flink reflects on; the list of its own default configuration.
OPENED = [
    *("java.lang", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.text"),
    *("java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic"),
    *("java.util.concurrent.locks", "sun.nio.ch"),
]

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>job-server</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId>
      <artifactId>beam-runners-flink-{flink}</artifactId>
      <version>{beam}</version>
    </dependency>
  </dependencies>
</project>
"""

CONFIG = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc_port}
jobmanager.bind-host: localhost
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest_port}
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.memory.process.size: 1536m
taskmanager.memory.managed.size: 128m
# A pipeline of many stages wants more buffers than the 64 MB that there would be.
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
io.tmp.dirs: {tmp}
# Beam's classes are on the cluster's class path. Loaded anew for each job, as Flink does by
# default with what a job brings, they fail noisily when a job ends.
classloader.resolve-order: parent-first
# A lost TaskManager is noticed in seconds, and its work is done anew.
heartbeat.interval: 1000
heartbeat.timeout: 8000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 5
restart-strategy.fixed-delay.delay: 2 s
"""

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = FILE
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Tells what happens, and when."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {text}", flush=True)


# --- what is downloaded --------------------------------------------------------------------------


def java() -> str:
    """Returns the command that runs Java."""
    home = os.environ.get("JAVA_HOME")
    return os.path.join(home, "bin", "java") if home else "java"


def fetch_flink() -> Path:
    """Returns the folder of Flink's jars; a package of PyPI holds the distribution."""
    folder = CACHE / f"flink-{FLINK}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            package = "apache-flink-libraries"
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
            command += [f"--no-binary={package}", f"{package}=={FLINK}"]
            subprocess.run(command, check=True)
            (archive,) = Path(scratch).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (distribution,) = Path(scratch).glob("*/deps")
            distribution.rename(folder)
    return folder


def fetch_beam_runner() -> Path:
    """Returns the folder of the jars of Beam's runner, without Flink's."""
    minor = ".".join(FLINK.split(".")[:2])
    folder = CACHE / f"beam-{BEAM_RUNNER}-flink-{minor}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            Path(scratch, "pom.xml").write_text(POM.format(flink=minor, beam=BEAM_RUNNER))
            command = ["mvn", "-q", "-B", "-Dstyle.color=never", "dependency:copy-dependencies"]
            command += ["-DincludeScope=runtime", "-DexcludeGroupIds=org.apache.flink"]
            command += ["-DoutputDirectory=jars"]
            subprocess.run(command, check=True, cwd=scratch)
            Path(scratch, "jars").rename(folder)
    return folder


def class_path(flink: Path, beam: Path) -> list[Path]:
    """The jars that the cluster and the job server need; tables and CEP are not among them."""
    found = [*flink.glob("lib/flink-dist-*.jar"), *flink.glob("lib/log4j-*.jar")]
    return [*sorted(found), *sorted(beam.glob("*.jar"))]


def write_job_server(jar: Path, paths: list[Path]) -> None:
    """Writes a jar that holds nothing but the names of others, for `java -jar`."""
    entries = {
        "Manifest-Version": "1.0",
        "Main-Class": "org.apache.beam.runners.flink.FlinkJobServerDriver",
        "Class-Path": " ".join(path.as_uri() for path in paths),
        "Add-Opens": " ".join(f"java.base/{package}" for package in OPENED),
    }
    lines = []
    for key, value in entries.items():
        line = f"{key}: {value}"  # at most 72 bytes a line; what is longer goes on after a blank
        lines += [line[:70], *(f" {line[at : at + 69]}" for at in range(70, len(line), 69))]
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr("META-INF/MANIFEST.MF", "\r\n".join([*lines, "", ""]))


# --- the cluster ---------------------------------------------------------------------------------


class Cluster:
    """A JobManager and TaskManagers, each in a process of its own, until `stop`."""

    def __init__(self, flink: Path, beam: Path, work: Path, port: int) -> None:
        if is_open(port):
            raise SystemExit(f"port {port} is taken; choose another by --port")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = work / "log"
        self._work, self._port = work, port
        self._flink, self._config = flink, work / "conf"
        self._paths = class_path(flink, beam)
        for folder in (self.logs, self._config, work / "tmp"):
            folder.mkdir(parents=True)
        config = CONFIG.format(rpc_port=free_port(), rest_port=port, tmp=work / "tmp")
        (self._config / "config.yaml").write_text(config)
        (self._config / "log4j.properties").write_text(LOG4J)
        self.job_server = work / "job_server.jar"
        write_job_server(self.job_server, self._paths)
        # What a container of Beam calls `boot`. Each TaskManager starts workers by it. (A worker
        # pool, `environment_type=EXTERNAL`, must not serve two TaskManagers: both number their
        # workers from 1, and each stops those of the other.)
        self.boot = work / "boot"
        words = [sys.executable, str(Path(__file__).resolve()), "worker"]
        self.boot.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        self.boot.chmod(0o755)

    def start(self) -> None:
        """Starts all, and returns when the JobManager knows two TaskManagers."""
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._java("jobmanager", main, ["-Xmx512m"], [])
        self._wait("the JobManager", lambda: self.rest("/overview") is not None)
        self.start_task_manager("taskmanager-1")
        self.start_task_manager("taskmanager-2")
        self._wait("two TaskManagers", lambda: len(self._task_managers()) == 2)

    def start_task_manager(self, name: str) -> None:
        """Starts a TaskManager; how its memory is dealt is asked of Flink, as its scripts do."""
        tools = [self._flink / "bin" / "bash-java-utils.jar", *self._paths]
        command = [java(), "-cp", os.pathsep.join(map(str, tools))]
        command += ["org.apache.flink.runtime.util.bash.BashJavaUtils", "GET_TM_RESOURCE_PARAMS"]
        command += ["--configDir", str(self._config)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        mark = "BASH_JAVA_UTILS_EXEC_RESULT:"
        options, arguments = (
            line.removeprefix(mark).split() for line in told.splitlines() if line.startswith(mark)
        )
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        self._java(name, main, options, [*arguments, f"-Dtaskmanager.resource-id={name}"])

    def stop(self) -> None:
        """Ends all that was started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for name in self.processes:
                self.signal(name, number)
            for process in self.processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=15)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a process and, for a TaskManager, its Python workers."""
        if self.processes[name].poll() is None:
            os.killpg(self.processes[name].pid, number)

    def kill_while_writing(self, name: str) -> list[str]:
        """Kills a TaskManager and its workers if they are writing a shard, and returns which."""
        self.signal(name, signal.SIGSTOP)  # else the shard might end while we look
        files = [os.path.basename(path) for path in open_files(self.processes[name].pid)]
        shards = [file for file in files if file.startswith("incomplete.") and "tfrecord" in file]
        self.signal(name, signal.SIGKILL if shards else signal.SIGCONT)
        return shards

    def rest(self, path: str) -> Any:
        """Asks the JobManager; None while it does not answer."""
        with suppress(OSError):
            url = f"http://localhost:{self._port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        return None

    def _task_managers(self) -> list[Any]:
        return list((self.rest("/taskmanagers") or {}).get("taskmanagers", []))

    def _java(self, name: str, main: str, options: list[str], arguments: list[str]) -> None:
        options = [*options, *(f"--add-opens=java.base/{one}=ALL-UNNAMED" for one in OPENED)]
        options += [f"-Djava.io.tmpdir={self._work / 'tmp'}", f"-Dlog.file={self.logs / name}.log"]
        options += [f"-Dlog4j.configurationFile={self._config / 'log4j.properties'}"]
        paths = os.pathsep.join(map(str, self._paths))
        config = ["--configDir", str(self._config)]
        with open(self.logs / f"{name}.out", "wb") as out:
            self.processes[name] = subprocess.Popen(
                [java(), *options, "-cp", paths, main, *config, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._work,
                env={**os.environ, "TMPDIR": str(self._work / "tmp")},
                start_new_session=True,  # one group with its workers, to be killed with them
            )

    def _wait(self, what: str, is_there: Callable[[], bool]) -> None:
        end = time.monotonic() + 90
        while not is_there():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                raise SystemExit(f"{what}: not there; ended: {dead}; see {self.logs}")
            time.sleep(0.2)


def free_port() -> int:
    """Returns a port that is free now."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as tried:
        return tried.connect_ex(("localhost", port)) == 0


def open_files(group: int) -> list[str]:
    """The files that the processes of a group hold open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # a process may end while we look
            if os.getpgid(int(process.name)) == group:
                found += [os.readlink(file) for file in process.glob("fd/*")]
    return found


def run_worker(arguments: list[str]) -> None:
    """Is a Python worker: asks the TaskManager that started it for its addresses, and serves it."""
    import grpc
    from apache_beam.portability.api import (
        beam_provision_api_pb2,
        beam_provision_api_pb2_grpc,
    )
    from apache_beam.runners.worker import sdk_worker_main
    from google.protobuf import json_format

    parser = argparse.ArgumentParser()
    parser.add_argument("--id")
    parser.add_argument("--provision_endpoint")
    known, _ = parser.parse_known_args(arguments)
    with grpc.insecure_channel(known.provision_endpoint) as channel:
        info = (
            beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
            .GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                metadata=[("worker_id", known.id)],
            )
            .info
        )
    os.environ |= {
        "WORKER_ID": known.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": str(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": str(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    sdk_worker_main.main([])


# --- the builds ----------------------------------------------------------------------------------


class Build:
    """`tfds build` in a process of its own; with Beam options, by Beam."""

    def __init__(self, spec: Path, data_dir: Path, options: str = "") -> None:
        self.data_dir, self.log = data_dir, data_dir.with_suffix(".log")
        command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"]
        command += ["medical_images", "--imports=medical_images", f"--data_dir={data_dir}"]
        command += ["--config", json.dumps({"spec": str(spec)}), f"--num_shards={SHARDS}"]
        command += [f"--beam_pipeline_options={options}"] if options else []
        self._started = time.monotonic()
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(data_dir.parent)},  # Beam leaves some if killed
                start_new_session=True,  # one group with the job server, which it starts
            )

    def num_shards(self) -> int:
        """How many shards have been written so far."""
        found = self.data_dir.glob("medical_images/*/*/*.tfrecord-*")
        return sum(not path.name.startswith("incomplete.") for path in found)

    def wait(self, seconds: float = 900) -> float:
        """Waits for the end, and returns how many seconds the build took."""
        if self.process.wait(timeout=seconds) != 0:
            raise SystemExit(f"the build failed; see {self.log}")
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Ends a build that was left, and the job server that it started."""
        if self.process.poll() != 0:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def digests(data_dir: Path) -> dict[str, str]:
    """The SHA-256 of each file of the datasets in a folder."""
    root = data_dir / "medical_images"
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def compare(build: Build, expected: dict[str, str]) -> None:
    """Refuses any difference."""
    found = digests(build.data_dir)
    names = sorted(found.keys() | expected.keys())
    other = [name for name in names if found.get(name) != expected.get(name)]
    if other or not expected:
        raise SystemExit(f"{len(other)} files differ, such as {other[:3]}")
    say(f"all {len(expected)} files are those of the local build, byte for byte")


def last_job(cluster: Cluster) -> str:
    """Tells of the last job, and where its shards were written."""
    job = max(cluster.rest("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
    vertices = cluster.rest(f"/jobs/{job['jid']}")["vertices"]
    (writing,) = (vertex for vertex in vertices if "WriteShard" in vertex["name"])
    parts = cluster.rest(f"/jobs/{job['jid']}/vertices/{writing['id']}")["subtasks"]
    told = [
        f"{part['taskmanager-id']} wrote {part['metrics']['read-records']} shards in"
        f" {part['duration'] / 1000:.1f} s, attempt {part['attempt'] + 1}"
        for part in parts
    ]
    return f"job {job['state']} after {job['duration'] / 1000:.1f} s; {'; '.join(told)}"


def run(arguments: argparse.Namespace, work: Path, stack: ExitStack) -> None:
    """Builds three times, and compares."""

    def build_of(name: str, options: str = "") -> Build:
        made = Build(spec, work / name, options)
        stack.callback(made.stop)
        return made

    CACHE.mkdir(parents=True, exist_ok=True)
    flink, beam = fetch_flink(), fetch_beam_runner()
    say(f"Flink {FLINK}, Beam's runner {BEAM_RUNNER}")
    spec = arguments.spec and arguments.spec.absolute()
    if arguments.nih:
        import nih

        made = argparse.Namespace(table=arguments.nih, rows=None, size=64)
        nih.make_corpus(work / "corpus", made)
        spec = nih.write_spec(work / "corpus")
    elif spec is None:
        command = [sys.executable, "-m", "medical_images.cli", "phantom", str(work / "corpus")]
        images = f"--images={arguments.images}"
        subprocess.run([*command, images], check=True, capture_output=True)
        spec = work / "corpus" / "corpus.yaml"
    build = build_of("local")
    say(f"local engine: {build.wait():.1f} s")
    expected = digests(build.data_dir)

    cluster = Cluster(flink, beam, work, arguments.port)
    stack.callback(cluster.stop)
    cluster.start()
    pids = ", ".join(f"{name} {process.pid}" for name, process in cluster.processes.items())
    say(f"the cluster runs; processes: {pids}")
    pipeline_options = [
        "runner=FlinkRunner",
        f"flink_master=localhost:{arguments.port}",
        f"flink_job_server_jar={cluster.job_server}",
        f"job_server_java_launcher={java()}",
        "environment_type=PROCESS",
        f"environment_option=process_command={cluster.boot}",
        *OPTIONS,
        *arguments.option,
    ]
    options = ",".join(pipeline_options)
    say(f"--beam_pipeline_options={options}")

    build = build_of("cluster", options)
    say(f"cluster: {build.wait():.1f} s; {last_job(cluster)}")
    compare(build, expected)

    build = build_of("killed", options)
    wanted = sum(".tfrecord-" in name for name in expected) // 4
    shards: list[str] = []
    while not shards and build.process.poll() is None:
        time.sleep(0.01)
        if build.num_shards() >= wanted:
            shards = cluster.kill_while_writing("taskmanager-1")
    if not shards:
        raise SystemExit("the build ended before a TaskManager could be killed; take more images")
    say(f"killed taskmanager-1 while it wrote {shards[0]}; {build.num_shards()} shards were there")
    if arguments.replace:
        cluster.start_task_manager("taskmanager-3")
        say("started taskmanager-3 in its place")
    say(f"cluster with one killed: {build.wait():.1f} s; {last_job(cluster)}")
    compare(build, expected)


def main() -> None:
    """Runs all, and leaves no process behind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000, help="of the phantom corpus")
    parser.add_argument("--spec", type=Path, help="a corpus.yaml, instead of the phantom corpus")
    parser.add_argument("--nih", type=Path, help="the NIH's table, with drawn pixels; see nih.py")
    parser.add_argument("--work", type=Path, help="a new folder for all that is made; kept")
    parser.add_argument("--port", type=int, default=8081, help="of the JobManager's REST API")
    parser.add_argument("--replace", action="store_true", help="replace the killed TaskManager")
    parser.add_argument("--option", action="append", default=[], help="one more option of Beam")
    arguments = parser.parse_args()
    os.environ.setdefault("no_proxy", "localhost,127.0.0.1")
    for number in (signal.SIGTERM, signal.SIGHUP):  # ends all, as Ctrl+C does
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with ExitStack() as stack:
        work = arguments.work
        if work is None:
            scratch = tempfile.TemporaryDirectory(prefix="medical_images_flink_")
            work = Path(stack.enter_context(scratch))
        work.mkdir(parents=True, exist_ok=True)
        run(arguments, work.absolute(), stack)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        run_worker(sys.argv[2:])
    else:
        main()
