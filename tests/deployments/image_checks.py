"""The image, built and run without Docker: `make test-images`. Not part of `make test-all`: it needs a network.

`buildah` builds it on a base that `mmdebstrap` makes. Then it runs as a strict server runs it: with the user, the
variables and the folder that the image itself names, on a root that the kernel keeps read-only, and with no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from resource import RLIMIT_NPROC, getrlimit
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "images"
PACKAGES = ("buildah", "docker-compose", "mmdebstrap", "netavark")  # buildah does not start without netavark
DEBIAN, BASE, IMAGE = "trixie", "localhost/expunge-base", "localhost/expunge-test"
LIBRARIES = (
    "ca-certificates,libbz2-1.0,libffi8,liblzma5,libncursesw6,libreadline8t64,libsqlite3-0,libssl3t64,libuuid1,zlib1g"
)
"""What Python needs of Debian."""

PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout")
MOST_MIB = 3500
STRICT = """
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$ROOT/var/lib/expunge"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$WHO" "$ROOT" /usr/bin/env --ignore-environment --chdir="$FOLDER" "$@"
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Image:
    """A built image: its files, and what its configuration says."""

    files: Path
    config: dict[str, Any]


@pytest.fixture(scope="session")
def programs() -> None:
    """Install what is missing, and say so."""
    missing = [name for name in PACKAGES if subprocess.run(["dpkg", "--status", name], capture_output=True).returncode]
    if missing:
        print(f"\ninstalling {', '.join(missing)} with apt")
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


@pytest.fixture(scope="session")
def image(programs: None) -> Iterator[Image]:
    WORK.mkdir(parents=True, exist_ok=True)
    make_base()
    secret, volumes = pip_settings()
    build(ROOT / "deployments/containers/Containerfile", IMAGE, ROOT, f"--build-arg=BASE={BASE}", *secret, *volumes)
    container = buildah("from", "--pull=never", IMAGE)
    config = json.loads(buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"]
    yield Image(Path(buildah("mount", container)), config)
    buildah("umount", container)
    buildah("rm", container)


def make_base() -> None:
    """Make the base image once, from Debian's packages and this machine's Python, which lies as in Docker's images."""
    archive = WORK / "base.tar"
    if not archive.exists():
        partial = WORK / "partial.tar"
        subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={LIBRARIES}", DEBIAN, str(partial)], check=True)
        partial.rename(archive)
    take_python(WORK / "python")
    recipe = WORK / "Containerfile.base"
    recipe.write_text("FROM scratch\nADD base.tar /\nCOPY python /usr/local\nRUN ldconfig\n")
    build(recipe, BASE, WORK)


def take_python(folder: Path) -> None:
    """Copy this machine's Python 3.11 without the packages that are installed for it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    left_out = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "__pycache__", "idlelib", "tkinter", "*.a"
    )
    shutil.copytree(Path(sys.base_prefix) / "lib" / version, folder / "lib" / version, ignore=left_out)
    for library in (Path(sys.base_prefix) / "lib").glob("libpython*.so*"):
        shutil.copy2(library, folder / "lib")
    shutil.copy2(Path(sys.base_prefix) / "bin" / version, folder / "bin" / version)
    for name in ("python3", "python"):
        (folder / "bin" / name).symlink_to(version)


def pip_settings() -> tuple[list[str], list[str]]:
    """Hand this machine's settings of pip to the build, as a secret, and its folders of wheels and certificates."""
    listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    pairs = (line.partition("=")[::2] for line in listed.splitlines())
    found = {name.rpartition(".")[2]: value.strip("'\"") for name, value in pairs}
    config, volumes = ConfigParser(interpolation=None), []
    config["global"] = {name: found[name] for name in PIP_SETTINGS if name in found}
    for name in ("find-links", "cert"):
        if name in found and Path(found[name]).exists():
            config["global"][name] = f"/mnt/{name}"
            volumes.append(f"--volume={found[name]}:/mnt/{name}:ro")
    with (file := WORK / "pip.conf").open("w") as stream:
        os.fchmod(stream.fileno(), 0o600)
        config.write(stream)
    return [f"--secret=id=pip,src={file}"], volumes


def build(recipe: Path, name: str, folder: Path, *options: str) -> None:
    most = getrlimit(RLIMIT_NPROC)[1]  # by default it asks for more, which a container may not have
    limits = ("--ulimit=nofile=20000:20000", f"--ulimit=nproc={most}:{most}")
    fixed = ("--isolation=chroot", "--network=host", *limits, "--pull=never", "--format=oci")
    buildah("build", *fixed, *options, f"--file={recipe}", f"--tag={name}", str(folder), capture=False)


def buildah(*words: str, capture: bool = True) -> str:
    storage = (f"--root={WORK / 'storage'}", f"--runroot={WORK / 'run'}", "--storage-driver=vfs")
    argv = ["nice", "-n", "19", "buildah", *storage, *words]
    return (
        subprocess.run(argv, stdout=subprocess.PIPE if capture else None, text=True, check=True).stdout or ""
    ).strip()


@pytest.fixture
def run(image: Image) -> Run:
    def run(*words: str, entrypoint: tuple[str, ...] | None = None) -> subprocess.CompletedProcess[str]:
        argv = [*(image.config["Entrypoint"] if entrypoint is None else entrypoint), *words]
        environ = {
            **os.environ,
            "ROOT": str(image.files),
            "WHO": image.config["User"],
            "FOLDER": image.config["WorkingDir"],
        }
        command = ["unshare", "--mount", "--pid", "--fork", "--net", "sh", "-euc", STRICT, "sh"]
        return subprocess.run([*command, *image.config["Env"], *argv], env=environ, capture_output=True, text=True)

    return run


def python(run: Run, code: str) -> str:
    done = run("-c", code, entrypoint=("python",))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_command_answers(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout


def test_it_runs_as_a_user_without_rights(run: Run) -> None:
    assert python(run, "import os, getpass; print(os.getuid(), os.getgid(), os.getgroups(), getpass.getuser())") == (
        "10001 10001 [10001] expunge"
    )


def test_no_file_of_the_image_is_more_than_its_user_needs(image: Image) -> None:
    """A program with the rights of another user, or a file of ours that the user can change, would be a way up."""
    ours = image.files / "opt/expunge"
    assert [path for path in ours.rglob("*") if not path.is_symlink() and path.stat().st_uid != 0] == []
    assert [path for path in ours.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022] == []


def test_only_the_home_and_tmp_can_be_written(run: Run) -> None:
    code = """
import os
def can(folder):
    try:
        open(os.path.join(folder, "x"), "w").close()
        return True
    except OSError:
        return False
import expunge
print([can(f) for f in ("/tmp", "/var/lib/expunge", "/", "/etc", "/opt/expunge", os.path.dirname(expunge.__file__))])
"""
    assert python(run, code) == "[True, True, False, False, False, False]"


def test_a_plan_needs_nothing_but_the_image(run: Run) -> None:
    done = run("plan", "policies/examples/demo.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "would change 14 weights" in done.stdout


def test_what_the_compose_file_and_the_chart_start_is_there(run: Run) -> None:
    for words in (("prefect", "worker", "start", "--help"), ("mlflow", "server", "--help"), ("weed", "version")):
        done = run(*words[1:], entrypoint=words[:1])
        assert done.returncode == 0, done.stderr
    for module in ("s3", "setup", "health"):
        python(run, f"import expunge.deployments.containers.{module}")
    python(run, "from expunge.flows.remote.queues import Place; assert Place('kubernetes', 'an-image').template()")
    python(run, "import psycopg, asyncpg")


def test_nothing_secret_and_nothing_of_the_build_is_in_it(image: Image) -> None:
    assert not (image.files / "etc/pip.conf").exists()
    assert not (image.files / "src").exists()
    assert list((image.files / "root").glob(".*/pip*")) == []


def test_it_is_no_larger_than_it_says(image: Image) -> None:
    used = int(
        subprocess.run(["du", "-sm", str(image.files)], capture_output=True, text=True, check=True).stdout.split()[0]
    )
    print(f"\nthe image has {used} MiB")
    assert used < MOST_MIB
