"""Clusters, bundles and revocation lists: made, read, refused in words, never overwritten."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.errors import BundleError, MalformedMessage, PeerError, UsageError

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


def refusal(path, **options):
    with pytest.raises(BundleError) as raised:
        Identity.load(path, **options)
    assert str(path) in str(raised.value)
    return str(raised.value)


def rewritten(path, change):
    """A copy of the bundle *path* whose text *change* has changed."""
    other = path.with_name("changed.bundle")
    other.write_text(change(path.read_text()))
    other.chmod(0o600)
    return other


def block(text, kind, index=0):
    return text.split(f"-----BEGIN {kind}-----")[index + 1].split(f"-----END {kind}-----")[0]


def test_a_bundle_says_who_the_node_is(cluster):
    identity = cluster.identity(1)
    assert (identity.node_id, identity.role) == ("node-1", "node")
    assert identity.number == 2  # the operator is 1
    assert identity.fingerprint == cluster.authority.registry.fingerprint
    assert 364 * DAY < identity.expires - NOW < 366 * DAY
    assert NOW - identity.starts > 0.9 * DAY
    assert stat.S_IMODE(cluster.bundle(1).stat().st_mode) == 0o600
    operator = cluster.operator()
    assert (operator.node_id, operator.role, operator.number) == ("operator", "operator", 1)
    assert "PRIVATE" not in repr(identity)


def test_numbers_are_never_given_twice(cluster):
    numbers = [cluster.authority.add("a").subject.number]
    cluster.authority.remove("a")
    (cluster.folder / "b.bundle").write_text("in the way")
    with pytest.raises(BundleError, match="exists already"):
        cluster.authority.add("b")
    with pytest.raises(BundleError):
        cluster.authority.add("a")  # its old bundle is there still
    numbers += [cluster.authority.add(name).subject.number for name in ("c", "d")]
    numbers.append(cluster.authority.add("a", out=cluster.folder / "a2.bundle").subject.number)
    assert len(set(numbers)) == len(numbers)
    assert set(cluster.authority.registry.members) >= {"a", "c", "d", "operator"}


def test_two_operators_at_once_give_different_numbers(cluster):
    code = "import sys; from edgesdk.cli.main import main; main()"
    words = [sys.executable, "-c", code, "cluster", "add", "--json", "--dir", str(cluster.folder)]
    adding = [
        subprocess.Popen([*words, f"cam{i}"], stdout=subprocess.PIPE, text=True) for i in range(4)
    ]
    numbers = [json.loads(process.communicate()[0])["number"] for process in adding]
    assert sorted(numbers) == [2, 3, 4, 5]
    assert Authority(cluster.folder).registry.next_number == 6


def test_keys_are_never_overwritten(cluster):
    before = {path: path.read_bytes() for path in cluster.folder.iterdir()}
    with pytest.raises(BundleError, match="never overwritten"):
        Authority.create(cluster.folder)
    with pytest.raises(BundleError, match="never overwritten"):
        cluster.authority.add("x", out=cluster.folder / "ca.key")
    with pytest.raises(UsageError, match="is a member already"):
        cluster.authority.add("operator")
    for path, data in before.items():
        if path.name != "cluster.json":
            assert path.read_bytes() == data
    assert not [path for path in cluster.folder.iterdir() if path not in before]


def test_a_rotated_member_keeps_its_number_and_its_old_bundle_holds_until_revoked(cluster):
    old = cluster.identity(1)
    made = cluster.authority.rotate("node-1", days=30)
    new = Identity.load(made.bundle)
    assert made.bundle != cluster.bundle(1)
    assert new.number == old.number
    assert new.key.public_key() != old.key.public_key()
    for one, other in ((old, new), (new, old)):
        one.check(other.certificate, NOW)
    cluster.authority.rotate("node-1", revoke=True)
    new.revocations.offer(cluster.authority.revoked_der)
    for certificate in (old.certificate, new.certificate):
        with pytest.raises(PeerError) as raised:
            new.check(certificate, NOW)
        assert raised.value.cause == "removed"


def test_a_removed_node_is_removed_for_good_and_asking_twice_changes_nothing(cluster):
    gone, here = cluster.identity(1), cluster.identity(2)
    first = cluster.authority.remove("node-1")
    listed = cluster.authority.revoked_der
    assert cluster.authority.remove("node-1") == first
    assert cluster.authority.revoked_der == listed
    assert here.revocations.offer(listed)
    assert not here.revocations.offer(listed)
    with pytest.raises(PeerError) as raised:
        here.check(gone.certificate, NOW)
    assert raised.value.cause == "removed"
    with pytest.raises(UsageError, match="there are: node-2, operator"):
        cluster.authority.remove("nobody")


def test_a_newer_list_is_kept_beside_the_bundle(cluster):
    here, gone = cluster.identity(1), cluster.identity(2)
    cluster.authority.remove("node-2")
    here.revocations.offer(cluster.authority.revoked_der)
    again = Identity.load(cluster.bundle(1))
    assert again.revocations.number == 2
    assert again.revocations.revoked(gone.certificate.serial_number)
    kept = cluster.bundle(1).with_name("node-1.bundle.revoked")
    kept.write_text("damaged")
    assert Identity.load(cluster.bundle(1)).revocations.number == 1


def test_a_list_that_the_ca_did_not_sign_is_refused(cluster, tmp_path):
    here = cluster.identity(1)
    other = Authority.create(tmp_path / "other")
    other.add("x")
    other.remove("x")
    for forged in (other.revoked_der, b"", bytes(100), cluster.authority.revoked_der[:-1] + b"x"):
        with pytest.raises(MalformedMessage):
            here.revocations.offer(forged)
    assert here.revocations.number == 1


def test_an_old_list_does_not_bring_a_removed_node_back(cluster):
    here, gone = cluster.identity(1), cluster.identity(2)
    before = cluster.authority.revoked_der
    cluster.authority.remove("node-2")
    here.revocations.offer(cluster.authority.revoked_der)
    assert not here.revocations.offer(before)
    assert here.revocations.revoked(gone.certificate.serial_number)


def test_what_is_wrong_with_a_bundle_is_named(cluster, tmp_path):
    path = cluster.bundle(1)
    other = Authority.create(tmp_path / "other").operator_bundle.read_text()
    assert "No such file" in refusal(path.with_name("nowhere"))
    assert "not a regular file" in refusal(tmp_path)
    assert "not a node bundle" in refusal(rewritten(path, lambda text: "hello"))
    assert "not a node bundle" in refusal(cluster.authority.folder / "ca.key")
    assert "over" in refusal(rewritten(path, lambda text: text + "x" * (1 << 20)))
    mine = path.read_text()
    ca, key = block(mine, "CERTIFICATE", 1), block(mine, "PRIVATE KEY")
    foreign_ca = rewritten(path, lambda t: t.replace(ca, block(other, "CERTIFICATE", 1)))
    assert "another cluster" in refusal(foreign_ca)
    foreign_key = rewritten(path, lambda t: t.replace(key, block(other, "PRIVATE KEY")))
    assert "the key is not the certificate's" in refusal(foreign_key)
    foreign_list = rewritten(
        path, lambda t: t.replace(block(mine, "X509 CRL"), block(other, "X509 CRL"))
    )
    assert "did not sign" in refusal(foreign_list)


def test_a_bundle_that_others_may_read_is_refused_with_the_remedy(cluster):
    path = cluster.bundle(1)
    path.chmod(0o640)
    assert f"mode 0640: others may read the key in it; run: chmod 600 {path}" in refusal(path)


def test_an_expired_or_early_bundle_names_the_dates_and_the_clock(cluster):
    path = cluster.bundle(1)
    late = refusal(path, now=NOW + 366 * DAY)
    assert "expired at" in late
    assert "edgesdk cluster rotate" in late
    early = refusal(path, now=datetime(1970, 1, 1, 0, 3, tzinfo=timezone.utc))
    assert "this machine's clock says 1970-01-01 00:03 UTC" in early
    assert "timedatectl" in early
    Identity.load(path, now=NOW - timedelta(hours=23))


def test_the_bundle_of_a_removed_node_says_so(cluster):
    cluster.identity(1).revocations.offer(cluster.list_of([], 5))
    serial = cluster.identity(1).certificate.serial_number
    cluster.identity(1).revocations.offer(cluster.list_of([serial], 6))
    assert "was removed from the cluster" in refusal(cluster.bundle(1))


def test_a_key_of_another_kind_is_refused(cluster):
    path = cluster.bundle(1)
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    changed = rewritten(
        path, lambda t: t.replace(block(t, "PRIVATE KEY"), block(key.decode(), "PRIVATE KEY"))
    )
    assert "not a node bundle" in refusal(changed)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_bundle_is_more_than_a_refusal(bundle_text, data):
    path, text = bundle_text
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 300))
    path.write_bytes(text[:at] + data.draw(st.binary(max_size=40)) + text[at + length :])
    try:
        identity = Identity.load(path)
    except BundleError:
        return
    assert identity.node_id == "node"


@pytest.fixture(scope="module")
def bundle_text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    made = Authority.create(folder / "cluster").add("node")
    path = folder / "node.bundle"
    path.write_bytes(b"")
    os.chmod(path, 0o600)
    return path, made.bundle.read_bytes()


def test_certificates_are_for_both_sides_and_for_nothing_else(cluster):
    certificate = cluster.identity(1).certificate
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {u._name for u in usage} == {"serverAuth", "clientAuth"}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)


def test_an_operators_folder_that_is_damaged_or_missing_is_named(cluster, tmp_path):
    with pytest.raises(BundleError, match="no cluster here"):
        Authority(tmp_path)
    (cluster.folder / "ca.key").chmod(0o644)
    with pytest.raises(BundleError, match="chmod 600"):
        cluster.authority.add("x")
    (cluster.folder / "cluster.json").write_text("{")
    with pytest.raises(BundleError, match="damaged"):
        Authority(cluster.folder)
