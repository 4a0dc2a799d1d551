"""One long random token under a name that says nothing. What is random and public stays."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import hashlib
import random
import uuid

import pytest
from redaction.fixtures import detector, hexadecimal, machine_made

DETECTOR = detector()
TOKEN = machine_made(24, 11)
LOWER = "".join(random.Random(4).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24))
MARKED = "qz" + "ry" + hexadecimal(20, 5)


@pytest.mark.parametrize(
    "line",
    ["K={}", "K={}\n", "a = 1\nK={}\nb = 2\n", "+K={}", "-K={}\n", "  k: {}\n", '"x": "{}",', "export K='{}'", "const k = `{}`;",
     "K={} # a note", "ENV K={}", "x := \"{}\"\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("token", [TOKEN, LOWER, MARKED, TOKEN + "=", TOKEN[:11] + "_" + TOKEN[11:]])
def test_a_token_under_any_name_goes(line: str, token: str) -> None:
    text = line.format(token)
    shown = DETECTOR.redact(text).text
    assert token not in shown
    assert shown.startswith(text[: text.index(token)])
    assert DETECTOR.redact(shown).text == shown


@pytest.mark.parametrize(
    "line",
    [
        "K=" + hexadecimal(40, 2),  # a commit
        "x: " + hashlib.sha256(b"x").hexdigest(),
        "x = " + str(uuid.UUID(int=7)),
        "K=web-" + str(uuid.UUID(int=2**90 + 7)),
        "resolved: sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
        f'"request_id": "{TOKEN}"',
        f"etag: {TOKEN}",
        f"commit={TOKEN}",
        "x = " + base64.b64encode(b"ordinary words, encoded.").decode(),
        "release=" + "web_" + hexadecimal(24, 3),
        "unit: kubernetes-scheduler-node01",
        "name = ServiceAccountTokenVolumeProjection2",
        "x = HTTPServerWithRetries3AndBackoff10",
        "Tag: cp311-cp311-manylinux2014_x86_64",
        "encoding = ISO_8859_2_HUNGARIAN_CHAR_TO_ORDER",
        "prefix = /usr/lib/x86_64-linux-gnu/pkgconfig",
        f"K=call({TOKEN})",
        f"sum {TOKEN} of",
    ],
)
def test_what_is_public_or_a_name_stays(line: str) -> None:
    assert DETECTOR.redact(line + "\n").text == line + "\n"


SAFE = "bcdfghjklmnpqrstvwxz2456789"  # of what Kubernetes makes names
UUID = str(uuid.UUID(int=2**127 + 12345))
POD = "many-56bc65b5ff-22cfw"
GENERATED = [
    POD, "web-7d9c5b6f8d-x1e0k", "auth-service-56bc65b5ff", "session-token-api-7d4b9c8f6d-x2zkq", "backup-28391040-x7k2p", "backup-28391040",
    "payments-worker-7d4b9c8f6d-0", "gke-prod-pool-1-abcd1234-x1yz", "aks-nodepool1-70125458-vmss000011",
    "aks-agentpool-20797254-vmss00000j", "ip-10-0-1-23.eu-west-1.compute.internal", f"ip-10-0-1-23_{UUID}",
    f"{POD}_{UUID}", f"pvc-{UUID}", UUID, f"{POD}.17a3f0c1d2e3b4a5", "apiserver-gv2nipuw7lkdskgaiwlfnbz3h2",
    f"containerd://{hexadecimal(64, 8)}", f"web@sha256:{hexadecimal(64, 9)}", "1234567890", "workflow-x7k2p-1234567890",
    "ns1-a1b2-00001-deployment-nf6br7dsvc-lbn4q", "sh.helm.release.v1.web.v3",
]  # fmt: skip
SHOWN = [
    "metadata:\n  name: {}\n  namespace: prod\n", '            "name": "{}",\n', "  holderIdentity: {}\n", "value: {}\n",
    "Name:             {}\n", "Controlled By:  ReplicaSet/{}\n", "target: Pod/{}\n", "NewReplicaSet:   {} (1/1 created)\n",
    "NAME              READY   STATUS    RESTARTS   AGE    IP         NODE\n"
    "{}   1/1     Running   0          5m     10.1.2.3   gke-pool-1-abcd1234-x1yz\n",
    "  Normal  Scheduled  5m  default-scheduler  Successfully assigned prod/{} to n1\n",
    "2026-01-01T00:00:00Z INFO pod={} ready=true\n",
]  # fmt: skip


@pytest.mark.parametrize("name", GENERATED)
def test_what_a_cluster_names_by_itself_stays(name: str) -> None:
    for text in SHOWN:
        assert DETECTOR.redact(text.format(name)).text == text.format(name)


@pytest.mark.parametrize("seed", range(20))
def test_any_pod_of_any_workload_stays_and_a_token_in_its_place_goes(seed: int) -> None:
    rng = random.Random(seed)
    made = f"auth-proxy-{''.join(rng.choices(SAFE, k=10))}-{''.join(rng.choices(SAFE, k=5))}"
    token = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=28))
    for text in SHOWN[:4]:
        assert DETECTOR.redact(text.format(made)).text == text.format(made)
        assert token not in DETECTOR.redact(text.format(token)).text
        assert token not in DETECTOR.redact(text.format(f"{token}-{made[-5:]}")).text
