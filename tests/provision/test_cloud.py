"""Clouds, on libcloud's own dummy driver, and on a stand-in that records what it is asked."""

import json

import pytest
from libcloud.compute.drivers.dummy import DummyNodeDriver

from edgesdk.cluster.authority import Authority
from edgesdk.errors import ProviderError
from edgesdk.provision.cloud import CloudMachines, cloud_init, open_driver


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
    (node,) = [n for n in driver.list_nodes() if n.name == name]
    driver.destroy_node(node)
    assert cloud.hosts()[name].state == "gone"


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
