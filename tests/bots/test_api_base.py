from __future__ import annotations

import pytest

from bots.api_base import checked
from config.errors import BadInput


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "0xa9.254.169.254",
        "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fe80::1]", "[fe80::1%25eth0]", "[fd00:ec2::254]",
        "100.100.100.200", "metadata.google.internal", "METADATA.google.internal.", "metadata",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_way_to_write_it_leads_to_where_clouds_keep_credentials(scheme: str, host: str) -> None:
    with pytest.raises(BadInput, match="API address"):
        checked(f"{scheme}://{host}/latest")


@pytest.mark.parametrize("host", ["134744072", "0x08080808", "8.8.2056", "[::ffff:8.8.8.8]"])
def test_a_number_that_means_a_public_place_is_one_however_it_is_written(host: str) -> None:
    with pytest.raises(BadInput, match="https"):
        checked(f"http://{host}")


@pytest.mark.parametrize("host", ["2130706433", "127.1", "[::ffff:127.0.0.1]"])
def test_a_number_that_means_this_machine_is_this_machine(host: str) -> None:
    assert checked(f"http://{host}") == f"http://{host}"
