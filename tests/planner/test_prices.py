"""Prices have a date and a source, and a plan says whose it used."""

import json
import subprocess
import sys

import pytest

from edgesdk.errors import ConfigError, NetworkUnavailable
from edgesdk.planner import solve
from edgesdk.planner.documents import plan_document
from edgesdk.planner.plan_file import problem_of, read_plan_input
from edgesdk.planner.prices import builtin_prices, price_list_text, read_prices
from edgesdk.provision.price_list import bundled_prices, fetch_prices, price_list_of

FLEET = """
[streams.a]
count = 10
needs = { cpu = 0.5, memory = 0.4 }
[machines.listed]
price = "ec2:us-east-1/c5.xlarge"
[machines.own]
usd_per_hour = 0.5
price_source = "contract 17"
price_date = "2026-01-31"
capacity = { cpu = 4, memory = 8 }
"""


def read(text):
    return read_plan_input(text, file="fleet.toml", form="toml")


def test_the_list_that_comes_with_edgesdk_is_what_libcloud_brought():
    assert builtin_prices() == bundled_prices()


def test_it_has_the_papers_types_and_a_date():
    prices = builtin_prices()
    kinds = prices.types["ec2"]
    assert {f"{a}.{b}" for a in ("m4", "c4", "r3") for b in ("xlarge", "2xlarge")} <= kinds.keys()
    assert prices.date == "2025-03-02"
    assert "apache-libcloud" in prices.source


def test_a_reference_gives_price_capacity_and_region():
    problem = problem_of(read(FLEET))
    listed = next(m for m in problem.machines if m.name == "listed")
    assert (listed.microusd, listed.region) == (170_000, "us-east-1")
    assert listed.capacity == (4_000_000, 8_589_000)


def test_what_the_file_says_goes_before_the_list():
    changed = FLEET.replace('c5.xlarge"', 'c5.xlarge"\ncapacity = { memory = 6 }')
    listed = next(m for m in problem_of(read(changed)).machines if m.name == "listed")
    assert listed.capacity == (4_000_000, 6_000_000)


def test_a_plan_names_date_and_source_of_its_prices():
    problem = problem_of(read(FLEET))
    document = plan_document(problem, solve(problem, clock=lambda: 0.0), scenario=None)
    listed, own = document.prices
    assert (listed.types, listed.date) == (["listed"], "2025-03-02")
    assert listed.source.startswith("ec2:us-east-1/c5.xlarge: apache-libcloud")
    assert (own.source, own.date) == ("contract 17", "2026-01-31")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("c5.xlarge", "expected CLOUD:REGION/TYPE"),
        ("ec2:us-west-2/c4.xlarge", "a region that c4.xlarge has a price in: eu-west-1, us-east-1"),
        ("ec2:us-east-1/c5.xlrge", 'did you mean "c5.xlarge"'),
        ("gce:us-east-1/n1", "a cloud of the price list"),
    ],
)
def test_a_reference_without_an_answer_is_a_mistake_of_its_field(reference, said):
    with pytest.raises(ConfigError, match=r"fleet\.toml:6: machines\.listed\.price = ") as raised:
        read(FLEET.replace("ec2:us-east-1/c5.xlarge", reference))
    assert said in str(raised.value)


def test_a_machine_without_capacity_or_reference_is_told():
    with pytest.raises(ConfigError, match=r"\[machines\.own\] has no capacity"):
        read(FLEET.replace("capacity = { cpu = 4, memory = 8 }", ""))


def test_a_list_survives_being_written():
    prices = builtin_prices()
    assert read_prices(price_list_text(prices), file="x") == prices


def test_a_price_that_libcloud_has_not_is_absent_not_zero():
    document = {
        "updated": 1767225600,
        "compute": {"ec2_linux": {"c5.xlarge": {"us-east-1": 0.17, "eu-west-1": 0.0}}},
    }
    prices = price_list_of(document, "a file")
    assert prices.date == "2026-01-01"
    assert prices.types["ec2"]["c5.xlarge"].usd_per_hour == {"us-east-1": 0.17}


def test_without_a_network_refreshing_says_so_and_nothing_is_lost(monkeypatch):
    import libcloud.pricing

    # Port 9 of this machine: refused at once, where the real address may take a minute to fail.
    monkeypatch.setattr(libcloud.pricing, "DEFAULT_FILE_URL_S3_BUCKET", "http://127.0.0.1:9/p.json")
    with pytest.raises(NetworkUnavailable, match="does not give prices"):
        fetch_prices()


def test_the_command_lists_them(tmp_path):
    start = "from edgesdk.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "plan", "--prices", "--json"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    document = json.loads(done.stdout)
    assert document["date"] == "2025-03-02"
    assert document["types"]["ec2"]["c5.xlarge"]["usd_per_hour"]["us-east-1"] == 0.17
