"""Clouds, on libcloud's own dummy driver, and on a stand-in that records what it is asked."""

import json

import pytest
from libcloud.compute.drivers.dummy import DummyNodeDriver

from edgesdk.cluster.authority import Authority
from edgesdk.errors import ProviderError
from edgesdk.provision.cloud import CloudMachines, cloud_init, open_driver
from edgesdk.provision.patience import Patience


class RecordingStandIn(DummyNodeDriver):
    """The dummy driver, which forgets what it was asked to create: this one keeps it."""

    def __init__(self, creds):
        super().__init__(creds)
        self.asked = []

    def create_node(self, **words):
        self.asked.append(words)
        node = super().create_node(name=words["name"], size=words["size"], image=words["image"])
        node.name = words["name"]
        return node


@pytest.fixture
def driver():
    return RecordingStandIn("0")


@pytest.fixture
def cloud(driver, tmp_path):
    return CloudMachines(
        driver,
        kinds={"small": "s1"} if _has(driver, "s1") else {"small": driver.list_sizes()[0].id},
        image=driver.list_images()[0].id,
        authority=Authority.create(tmp_path / "ca", "test"),
        folder=tmp_path / "bundles",
        seeds=("10.0.0.1:7440",),
    )


def _has(driver, size):
    return any(one.id == size for one in driver.list_sizes())


def test_a_machine_is_created_found_again_and_destroyed(cloud):
    name = cloud.start("small")
    assert name == "edgesdk-small-1"
    assert cloud.hosts()[name].state == "ready"
    assert cloud.hosts()[name].address[1] == 7440
    cloud.stop(name)
    assert name not in cloud.hosts()


def test_machines_of_others_are_left_alone(cloud, driver):
    assert len(driver.list_nodes()) >= 1
    assert cloud.hosts() == {}


def test_a_machine_that_the_cloud_forgets_is_gone(cloud, driver):
    name = cloud.start("small")
    assert cloud.hosts()[name].state == "ready"
    (node,) = [n for n in driver.list_nodes() if n.name == name]
    driver.destroy_node(node)
    assert cloud.hosts()[name].state == "gone"


def test_a_machine_that_the_cloud_does_not_list_yet_is_not_rented_again(cloud, driver, monkeypatch):
    listed = driver.list_nodes()
    monkeypatch.setattr(driver, "list_nodes", lambda: listed)  # behind, as EC2's list may be
    driver.nl = list(listed)
    name = cloud.start("small")
    assert cloud.hosts()[name].state == "booting"
    with pytest.raises(ProviderError, match="not listed yet"):
        cloud.stop(name)  # it would cost on, and nobody would know


def test_a_machine_that_is_not_to_be_had_is_asked_for_seldom_and_with_one_certificate(
    cloud, driver, tmp_path, monkeypatch
):
    monkeypatch.setattr(driver, "create_node", lambda ex_userdata, **words: 1 / 0)
    with pytest.raises(ProviderError, match="create_node: division by zero"):
        cloud.start("small")
    for _ in range(5):
        with pytest.raises(ProviderError, match="tried in a while"):
            cloud.start("small")
    cloud._patience = Patience(lambda: 1e9)  # an hour later
    with pytest.raises(ProviderError, match="division by zero"):
        cloud.start("small")
    assert [f.name for f in (tmp_path / "bundles").iterdir()] == ["edgesdk-small-1.bundle"]


def test_a_name_that_another_managers_machine_has_is_left_to_it(cloud, driver, tmp_path):
    cloud.start("small")
    driver.nl.pop()
    (tmp_path / "bundles" / "edgesdk-small-1.bundle").unlink()
    again = CloudMachines(
        driver,
        kinds={"small": driver.list_sizes()[0].id, "large@north": driver.list_sizes()[0].id},
        image=driver.list_images()[0].id,
        authority=Authority(tmp_path / "ca"),
        folder=tmp_path / "bundles",
    )
    assert again.start("small") == "edgesdk-small-2"
    assert again.start("large@north").startswith("edgesdk-large@north-")
    assert (tmp_path / "bundles" / "edgesdk-large-north-3.bundle").exists()


def test_libclouds_own_dummy_gives_and_takes_machines_under_its_own_names(tmp_path):
    dummy = DummyNodeDriver("0")
    cloud = CloudMachines(
        dummy,
        kinds={"small": dummy.list_sizes()[0].id},
        image=dummy.list_images()[0].id,
        authority=Authority.create(tmp_path / "ca", "test"),
        folder=tmp_path / "bundles",
    )
    before = len(dummy.list_nodes())
    names = [cloud.start("small"), cloud.start("small")]
    assert {cloud.hosts()[name].state for name in names} == {"ready"}
    cloud.stop(names[0])
    assert names[0] not in cloud.hosts()
    assert len(dummy.list_nodes()) == before + 1


def test_a_cloud_that_takes_no_user_data_is_refused_before_it_costs(cloud, driver, monkeypatch):
    monkeypatch.setattr(driver, "create_node", lambda name, size, image: 1 / 0)
    monkeypatch.setattr(driver, "type", "another")
    with pytest.raises(ProviderError, match="takes no user data"):
        cloud.start("small")


def test_each_machine_gets_a_bundle_of_its_own_by_cloud_init(cloud, driver):
    cloud.start("small")
    cloud.start("small")
    documents = [
        json.loads(words["ex_userdata"].removeprefix("#cloud-config\n")) for words in driver.asked
    ]
    bundles = [document["write_files"][0]["content"] for document in documents]
    assert bundles[0] != bundles[1]
    assert all("PRIVATE KEY" in bundle for bundle in bundles)
    assert documents[0]["write_files"][0]["permissions"] == "0600"


def test_cloud_init_starts_an_agent_that_knocks_at_the_seeds():
    document = json.loads(cloud_init("BUNDLE", ("10.0.0.1:7440",)).removeprefix("#cloud-config\n"))
    files = {file["path"]: file["content"] for file in document["write_files"]}
    assert 'seeds = ["10.0.0.1:7440"]' in files["/etc/edgesdk/node.toml"]
    assert "agent --config" in files["/etc/systemd/system/edgesdk-agent.service"]


def test_prices_are_the_clouds(cloud):
    assert cloud.prices()["small"] > 0


def test_a_size_or_image_that_is_not_there_is_named(driver, tmp_path):
    with pytest.raises(ProviderError, match="no size 'huge'"):
        CloudMachines(
            driver,
            kinds={"small": "huge"},
            image=driver.list_images()[0].id,
            authority=Authority.create(tmp_path / "ca", "test"),
            folder=tmp_path,
        )


def test_what_the_cloud_refuses_is_told(cloud, driver, monkeypatch):
    monkeypatch.setattr(driver, "list_nodes", lambda: 1 / 0)
    with pytest.raises(ProviderError, match="cloud: list_nodes: division by zero"):
        cloud.hosts()


def test_without_keys_no_driver_is_opened():
    with pytest.raises(ProviderError, match="EDGESDK_CLOUD_KEY"):
        open_driver("ec2", "", "", None)


def test_a_driver_that_libcloud_lacks_is_named():
    with pytest.raises(ProviderError, match="driver nonsense"):
        open_driver("nonsense", "key", "secret", None)


def test_who_is_refused_waits_twice_as_long_each_time_up_to_a_minute():
    now = 0.0
    patience = Patience(lambda: now)
    waited = []
    for _ in range(9):
        patience.failed("small")
        began = now
        while patience.waits("small"):
            now += 1.0
        waited.append(now - began)
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not patience.waits("large")
    patience.failed("small")
    patience.succeeded("small")
    assert not patience.waits("small")
