import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnscope.data import hashing_writer as output
from rnnscope.data.hashing_writer import Output


@given(st.lists(st.binary(max_size=30)))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_what_is_written_is_in_the_file(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("output") / "file"
    saved, output.BLOCK = output.BLOCK, 16
    try:
        with Output(path) as file:
            assert [file.write(part) for part in parts] == list(map(len, parts))
            assert file.size == sum(map(len, parts))
    finally:
        output.BLOCK = saved
    assert path.read_bytes() == b"".join(parts)
    assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_full_disk_is_noticed():
    with pytest.raises(OSError, match="No space left"), Output(output.Path("/dev/full")) as file:
        file.write(b"some")
