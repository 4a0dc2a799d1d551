"""kubectl itself: where it is, what it may touch, and the environment that it gets. Nothing runs here but `trouble`.

Beside the guard, as `kubeconfig` is: for the kubectl server, and the logs server's pods.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from interlock import kubeconfig
from interlock.guard.policy.places import apart
from interlock.kubeconfig import cache_folder as cache_folder
from interlock.sandbox.children import Program

if TYPE_CHECKING:
    from interlock.guard.policy.loading import Policy

KUBECTL: Final = "kubectl"
OLDEST: Final = (1, 28)
# What credential plugins keep their own state in, under the user's home. Never Interlock's.
_PLUGIN_STATE: Final = (".aws", ".azure", ".config/gcloud", ".kube/cache", ".cache/gke-gcloud-auth-plugin", ".oci")
_PLUGIN_PLACES: Final = ("/usr/bin", "/bin", "/usr/local/bin", "/opt", "/snap")
_PLUGIN_VARIABLES: Final = ("AWS_", "AZURE_", "AAD_", "GOOGLE_", "CLOUDSDK_", "OCI_")
_VERSIONED: Final = re.compile(r"kubectl\.1\.(\d+)\Z")


def executable() -> Path | None:
    """The kubectl on PATH, else the one beside this Python; None where there is none.

    One program, known before the fork: what would start another one is passed over. That is a script (asdf, mise and
    wrappers), and a dispatcher (Google's SDK installs one that asks each server for its version first), in whose place
    the newest kubectl beside it is taken.
    """
    folders = [*os.get_exec_path(), os.fspath(Path(sys.executable).parent)]
    found = (shutil.which("kubectl", path=folder) for folder in folders)
    real = next((Path(one).resolve() for one in found if one is not None and not _is_script(one)), None)
    if real is None:
        return None
    versions = [
        (int(match[1]), one) for one in real.parent.glob("kubectl.1.*") if (match := _VERSIONED.match(one.name))
    ]
    return max(versions)[1] if versions else real


def _is_script(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def absence() -> str:
    """Why `executable` finds none, in words."""
    script = shutil.which("kubectl")
    return "kubectl is not installed here" if script is None else f"{script} is a script, which cannot be confined"


def trouble() -> str:
    """What is wrong with this machine's kubectl, for `doctor`; empty where nothing is. Starts it once."""
    binary = executable()
    if binary is None:
        return f"{absence()}: put kubectl itself on PATH and restart the server"
    try:
        done = subprocess.run(
            [os.fspath(binary), "version", "--client", "--output=json"],
            capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL,
            env={"HOME": "/nonexistent", "KUBERC": "off"},
        )  # fmt: skip
        version = json.loads(done.stdout)["clientVersion"]
        found = int(version["major"]), int(version["minor"].rstrip("+"))
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return f"{binary} does not tell its version"
    if found < OLDEST:
        return f"kubectl {found[0]}.{found[1]} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed"
    return ""


def programs(policy: Policy) -> dict[str, Program]:
    """kubectl with a network to the servers' ports, the kubeconfig to read and its cache to write."""
    section = cast("kubeconfig.Clusters | None", policy.sections.get("kubectl"))
    binary = executable()
    if section is None or binary is None:
        return {}
    facts = kubeconfig.read(section)
    cache = cache_folder()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {"HOME": os.fspath(cache), "KUBERC": "off", "KUBECTL_KUBERC": "false", "GOMAXPROCS": "2"}
    read, write, execute = [facts.path, *facts.files], [cache], []
    execute += [binary] if write_minting(facts, binary) else []
    if facts.plugins:  # they look under HOME, start helpers, and reach hosts that no kubeconfig names
        home = Path(os.environ.get("HOME") or Path.home())
        environment |= {k: v for k, v in os.environ.items() if k.startswith(_PLUGIN_VARIABLES)}
        environment |= {"HOME": os.fspath(home), "PATH": os.environ.get("PATH", os.defpath)}
        places = list(apart(home, policy.own))
        read += places
        kept = [home / place for place in _PLUGIN_STATE if (home / place).is_dir()]
        write += [one for place in kept for one in apart(place, policy.own)]
        beside = [*(plugin.resolve().parent for plugin in facts.plugins), *map(Path, _PLUGIN_PLACES)]
        execute += [*facts.plugins, *(one for place in beside for one in apart(place, policy.own)), *places]
    return {
        KUBECTL: Program(
            binary,
            read=tuple(read),
            write=tuple(write),
            execute=tuple(execute),
            network=True,
            ports=() if facts.plugins else (*facts.ports, 53),
            environment=environment,
            limits={"cpu": 120, "files": 256},
        )
    }


def write_minting(facts: kubeconfig.Kubeconfig, binary: Path) -> bool:
    """Write the kubeconfig of the contexts that have a service account, if any do: whole or not at all."""
    if not facts.minting:
        return False
    path = facts.minted
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_suffix(f".{os.getpid()}")
    made.write_text(json.dumps(kubeconfig.minting_config(facts, binary)))
    made.chmod(0o600)
    made.rename(path)
    return True
