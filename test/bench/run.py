#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The benchmark: what ckpt costs, each figure beside its budget.

    test/bench/run.py [--quick] [SECTION...]      from the build folder

Sections: calls launch stop restart threads tree descriptors connections
hosts barrier.
Figures are whole-process ones,
compared as ratios within this run: the same program native and under
ckpt_launch in turns, and for checkpoint and restart the bound (fork alone,
LZ4 alone, storage alone) measured in the same minute. Medians; no figure
passes or fails anything: the table says what was asked for and what is.
"""
import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("CKPT_BUILD", os.getcwd())
rows = []


def row(what, budget, measured, note=""):
    rows.append((what, budget, measured, note))
    print("%-46s %-22s %-16s %s" % (what, budget, measured, note), flush=True)


def tool(name):
    return os.path.join(BUILD, name)


def bench(name):
    return os.path.join(BUILD, "test", "bench", name)


def median(values):
    return statistics.median(values) if values else float("nan")


class Job:
    """A coordinator, a checkpoint directory and a program under them."""

    def __init__(self, storage=None):
        self.dir = tempfile.mkdtemp(prefix="ckpt-bench.", dir=storage)
        self.port_file = os.path.join(self.dir, "port")
        self.images = os.path.join(self.dir, "images")
        os.mkdir(self.images)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.dir)
        os.chmod(self.dir, 0o700)
        subprocess.run(
            [tool("ckpt_coordinator"), "--daemon", "--port", "0", "--port-file",
             self.port_file, "-d", self.images],
            env=self.env, check=True, stdin=subprocess.DEVNULL)
        self.port = open(self.port_file).read().strip()
        self.process = None
        self.out_path = os.path.join(self.dir, "out")
        self.start_lines = 0

    def command(self, *arguments, check=True):
        return subprocess.run(
            [tool("ckpt_command"), "-p", self.port, *arguments], env=self.env,
            check=check, capture_output=True, text=True).stdout

    def launch(self, *program, options=()):
        self.process = subprocess.Popen(
            [tool("ckpt_launch"), "-p", self.port, *options, *program],
            env=self.env, stdin=subprocess.DEVNULL,
            stdout=open(self.out_path, "a"))
        self.await_line("ready")

    def lines(self):
        try:
            return open(self.out_path).read().splitlines()
        except FileNotFoundError:
            return []

    def await_line(self, start, timeout=120, skip=0):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = [l for l in self.lines() if l.startswith(start)]
            if len(found) > skip:
                return found
            time.sleep(0.005)
        raise RuntimeError("no line %r within %d s" % (start, timeout))

    def checkpoint(self):
        return json.loads(self.command("--json", "-c").splitlines()[-1])

    def kill(self):
        self.command("-k")
        self.process.wait()

    def restart(self, options=()):
        """Seconds until the program's first instruction, and until ckpt says
        that all runs."""
        gaps = len([l for l in self.lines() if l.startswith("gap")])
        begin = time.time_ns()
        self.process = subprocess.Popen(
            [tool("ckpt_restart"), "-p", self.port, *options, self.images],
            env=self.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdout=open(os.devnull, "w"))
        end = time.monotonic() + 180
        while time.monotonic() < end:
            late = [l for l in self.lines() if l.startswith("gap")]
            late = [l for l in late if int(l.split()[2]) > begin]
            if late:
                return (int(late[0].split()[2]) - begin) / 1e9
            if self.process.poll() is not None:
                raise RuntimeError("ckpt_restart ended with %d" % self.process.returncode)
            time.sleep(0.002)
        raise RuntimeError("the program does not go on (%d gaps before)" % gaps)

    def close(self):
        try:
            self.command("-k", check=False)
            if self.process:
                try:
                    self.process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
            self.command("-q", check=False)
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


def run_lines(command, env=None):
    text = subprocess.run(command, env=env, check=True, capture_output=True,
                          text=True).stdout
    return [l.split() for l in text.splitlines()]


BUDGET = {
    "malloc+free": 1.0, "open+close": 1.0, "read": 1.0, "write": 1.0,
    "pipe": 1.0, "poll": 1.0, "clock_gettime": 1.0, "fork+exit+wait": 1.1,
    "fork+exec+wait": 1.3, "posix_spawn+wait": 1.3, "system": 1.3,
}


def section_calls(turns):
    job = Job()
    try:
        native, ours = {}, {}
        job.launch(bench("memory"), "1", "zero", "small", "1")
        for _ in range(turns):
            for table, command in (
                    (native, [bench("calls")]),
                    (ours, [tool("ckpt_launch"), "-p", job.port, bench("calls")])):
                for name, ns in run_lines(command, env=job.env):
                    table.setdefault(name, []).append(float(ns))
        for name in native:
            ratio = min(ours[name]) / min(native[name])
            budget = BUDGET.get(name)
            row(name, "<= %.2f x native" % budget if budget else "-",
                "%.2f x" % ratio, "%.0f ns native" % min(native[name]))
    finally:
        job.close()


def rss(pid):
    private = 0
    for line in open("/proc/%d/smaps_rollup" % pid):
        if line.startswith("Rss:"):
            private = int(line.split()[1])
    return private


def section_launch(turns):
    job = Job()
    try:
        job.launch(bench("memory"), "1", "zero", "small", "1")
        native = subprocess.Popen([bench("memory"), "1", "zero", "small", "1"],
                                  stdout=subprocess.PIPE)
        native.stdout.readline()
        row("RSS added to an idle process", "<= 0.50 MiB",
            "%.2f MiB" % ((rss(job.process.pid) - rss(native.pid)) / 1024))
        native.kill()
        native.wait()
        plain, ours = [], []
        for _ in range(turns * 5):
            for table, command in (
                    (plain, ["/bin/true"]),
                    (ours, [tool("ckpt_launch"), "-p", job.port, "/bin/true"])):
                begin = time.monotonic()
                subprocess.run(command, env=job.env, check=True)
                table.append((time.monotonic() - begin) * 1e3)
        row("ckpt_launch /bin/true", "-", "%.1f ms" % median(ours),
            "native %.1f ms" % median(plain))
    finally:
        job.close()


def bound(*arguments):
    return float(run_lines([bench("bound"), *map(str, arguments)])[0][0])


def gap_at(job, skip):
    """The longest heartbeat gap since the first `skip` ones, in ms."""
    gaps = [l.split() for l in job.lines() if l.startswith("gap")][skip:]
    return max([(int(g[2]) - int(g[1])) / 1e6 for g in gaps], default=0.0)


def storage_rate(folder, mib=1024):
    path = os.path.join(folder, "bound")
    rate = bound("write", mib, path)
    os.unlink(path)
    return rate


def section_stop(turns, storage):
    cpus = len(os.sched_getaffinity(0))
    mib = 1024
    for kind in ("random", "half", "zero"):
        for page in ("small", "huge"):
            fork = median([int(l[1]) / 1e6 for l in run_lines(
                [bench("memory"), str(mib), kind, page, "1", "fork"])])
            for mode in ((), ("--sync",)):
                stop, rate, image, gap, total = [], [], [], [], []
                job = Job(storage)
                try:
                    job.launch(bench("memory"), str(mib), kind, page, "1",
                               options=mode)
                    disk = storage_rate(job.dir)
                    lz4 = bound("lz4", 2048, kind, cpus)
                    for _ in range(turns):
                        before = len([l for l in job.lines() if l.startswith("gap")])
                        report = job.checkpoint()
                        stop.append(report["stop_ms"])
                        total.append(report["total_ms"] / 1e3)
                        rate.append(mib / (report["total_ms"] / 1e3))
                        image.append(report["stored"] / 2**20)
                        gap.append(gap_at(job, before))
                finally:
                    job.close()
                name = "1 GiB %s, %s pages%s" % (
                    kind, "4K" if page == "small" else "THP", ", --sync" if mode else "")
                if not mode:
                    row("stop " + name, "<= 1.3 x fork + 3 ms",
                        "%.1f ms" % median(stop),
                        "budget here %.1f ms, fork %.1f ms, heartbeat gap %.1f ms" %
                        (1.3 * fork + 3, fork, median(gap)))
                else:
                    row("stop " + name, "-", "%.0f ms" % median(stop))
                # What must reach the disk at the storage's rate, while LZ4
                # and zero detection run at theirs.
                needed = max(mib / lz4, median(image) / disk)
                row("write " + name, ">= 85 % of the bound",
                    "%.0f %%" % (100 * needed / median(total)),
                    "%.2f s, image %.0f MiB, storage %.0f MiB/s, LZ4 %.0f MiB/s" %
                    (median(total), median(image), disk, lz4))


def section_restart(turns, storage):
    cpus = len(os.sched_getaffinity(0))
    for mib in (64, 1024, 4096):
        for compress in ("auto", "none"):
            kind = "half" if compress == "auto" else "random"
            times = []
            job = Job(storage)
            try:
                job.launch(bench("memory"), str(mib), kind, "small", "1",
                           options=("--compress", compress))
                job.checkpoint()
                job.kill()
                for _ in range(turns):
                    times.append(job.restart())
                    job.kill()
                path = os.path.join(job.dir, "bound")
                bound("write", min(mib, 1024), path)
                read = bound("read", min(mib, 1024), path, cpus)
                place = bound("place", min(mib, 1024), path, cpus)
                unlz4 = bound("unlz4", 4096, kind, cpus)
            finally:
                job.close()
            needed = mib / read if compress == "none" else mib / min(read, unlz4)
            row("restart %d MiB, %s" % (mib, "LZ4" if compress == "auto" else "uncompressed"),
                ">= 80 % of the bound", "%.0f ms" % (median(times) * 1e3),
                "%.0f %%; reading alone %.0f ms, into untouched memory %.0f ms" %
                (100 * needed / median(times), needed * 1e3, mib / place * 1e3))
            if compress == "none":
                times = []
                job = Job(storage)
                try:
                    job.launch(bench("memory"), str(mib), kind, "small", "1",
                               options=("--compress", compress))
                    job.checkpoint()
                    job.kill()
                    for _ in range(turns):
                        times.append(job.restart(("--lazy",)))
                        job.kill()
                    row("first instruction, %d MiB, --lazy" % mib, "<= 50 ms",
                        "%.0f ms" % (median(times) * 1e3))
                except RuntimeError as error:
                    row("first instruction, %d MiB, --lazy" % mib, "<= 50 ms", "-",
                        str(error))
                finally:
                    job.close()


def section_threads(turns, storage):
    for threads in (1, 100, 2000):
        job = Job(storage)
        try:
            job.launch(bench("memory"), "16", "half", "small", str(threads))
            stop = [job.checkpoint()["stop_ms"] for _ in range(turns)]
            job.kill()
            again = job.restart()
            job.kill()
            row("%d threads" % threads, "-", "%.1f ms stop" % median(stop),
                "%.0f ms restart" % (again * 1e3))
        finally:
            job.close()


def section_connections(turns, storage):
    for count in (0, 50, 200, 800):
        job = Job(storage)
        try:
            job.launch(bench("connections"), str(count))
            stop = [job.checkpoint()["stop_ms"] for _ in range(turns)]
            job.kill()
            # What has just ended keeps its port for a second.
            time.sleep(2)
            again = job.restart()
            job.kill()
            row("%d TCP connections" % count, "linear",
                "%.1f ms stop" % median(stop), "%.0f ms restart" % (again * 1e3))
        finally:
            job.close()


def on_hosts(script, *arguments):
    """What a script says that is written like a story over hosts."""
    user = 61234
    folder = tempfile.mkdtemp(prefix="ckpt-bench.")
    try:
        os.chmod(folder, 0o755)
        env = {"PATH": BUILD + ":" + os.environ["PATH"], "LANG": "C.UTF-8",
               "HOME": folder + "/home", "TMPDIR": folder + "/tmp",
               "XDG_RUNTIME_DIR": folder + "/run", "STORY_DIR": folder,
               "STORY": os.path.join(HERE, script), "STORY_AS": "root",
               "STORY_USER": str(user), "CKPT_BUILD": BUILD,
               "CKPT_SOURCE": os.path.join(HERE, "..", ".."),
               "BENCH": " ".join(map(str, arguments))}
        ran = subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
             os.path.join(BUILD, "test", "story", "nursery"), "300", "bash",
             os.path.join(HERE, "..", "story", "lib.sh")], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        if ran.returncode:
            raise RuntimeError("\n".join(ran.stdout.splitlines()[-5:]))
        return json.load(open(os.path.join(folder, "result")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def section_hosts(turns, storage):
    """TCP connections between two simulated hosts, which share the CPUs. The
    restart starts by ssh."""
    if os.geteuid() != 0:
        row("hosts", "-", "-", "needs root")
        return
    for count in (0, 50, 200, 800, 3200):
        said = on_hosts("hosts.sh", count, turns)
        reports = said["checkpoints"]
        phases = {name: median([r["phases_ms"][name] for r in reports])
                  for name in ("stop", "capture", "snapshot", "release")}
        row("%d TCP connections between two hosts" % count, "linear",
            "%.1f ms stop" % median([r["stop_ms"] for r in reports]),
            "%.0f ms restart; %s" % (said["restart_ms"], ", ".join(
                "%s %.1f ms" % p for p in phases.items())))


def section_many(kind, counts, turns, storage):
    """What a checkpoint and a restart take, and which share each phase has."""
    here = os.getcwd()
    for count in counts:
        job = Job(storage)
        try:
            os.chdir(job.dir)
            job.launch(bench("tree"), kind, str(count))
            reports = [job.checkpoint() for _ in range(turns)]
            job.kill()
            again = job.restart()
            job.kill()
            phases = {}
            for report in reports:
                for name, ms in report["phases_ms"].items():
                    phases.setdefault(name, []).append(ms)
            phases = {name: median(ms) for name, ms in phases.items()}
            whole = sum(phases.values()) or 1
            row("%d %s" % (count, kind), "-",
                "%.0f ms stop" % median([r["stop_ms"] for r in reports]),
                "%.0f ms restart, checkpoint %.0f ms: %s" % (
                    again * 1e3, whole, ", ".join(
                        "%s %.0f %%" % (name, 100 * ms / whole)
                        for name, ms in sorted(phases.items(),
                                               key=lambda p: -p[1]))))
        except RuntimeError as error:
            row("%d %s" % (count, kind), "-", "failed", str(error))
        finally:
            os.chdir(here)
            job.close()


def section_tree(turns, storage):
    section_many("processes", (50, 200, 500), turns, storage)


def section_descriptors(turns, storage):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    counts = [n for n in (5000, 10000, 20000) if n + 100 < most]
    if most < 20100: # as far as it goes
        counts.append(most - 100)
    section_many("descriptors", counts, turns, storage)


def section_barrier(turns):
    """Synthetic processes: only what bringing all together costs. The hosts
    are host groups of this one, and share its CPUs: of real ones each does its
    part at the same time, as the two of 200 processes do on two CPUs; what
    grows with the hosts then is what the coordinator does."""
    cpus = len(os.sched_getaffinity(0))
    for hosts, processes in ((1, 1), (1, 100), (1, 1000), (2, 200), (10, 1000),
                             (100, 1000), (100, 10000)):
        if turns < 5 and processes > 1000:
            continue
        words = subprocess.run(
            [bench("barrier"), str(hosts), str(processes), str(turns)],
            check=True, stdout=subprocess.PIPE, timeout=600,
            env=dict(os.environ, CKPT_BUILD=BUILD)).stdout.split()
        stop, capture, snapshot, release, total, sent = map(float, words[2:])
        row("4 barriers: %d processes, %d host%s" %
            (processes, hosts, "" if hosts == 1 else "s"),
            "1000 ms" if processes == 10000 else "-", "%.0f ms" % total,
            "%.0f + %.0f + %.0f + %.0f ms, %.0f KiB sent%s" %
            (stop, capture, snapshot, release, sent / 1024,
             "; %d hosts a CPU" % (hosts // cpus) if hosts > cpus else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two turns instead of five")
    parser.add_argument("--storage", default=None, help="folder for the images")
    parser.add_argument("sections", nargs="*",
                        default=["calls", "launch", "stop", "restart", "threads",
                                 "tree", "descriptors", "connections",
                                 "hosts", "barrier"])
    options = parser.parse_args()
    turns = 2 if options.quick else 5
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("%-46s %-22s %-16s %s" % ("what", "budget", "measured", ""))
    for section in options.sections:
        try:
            if section in ("calls", "launch", "barrier"):
                globals()["section_" + section](turns)
            else:
                globals()["section_" + section](turns, options.storage)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            row(section, "", "failed", str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
