import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnscope.data import hashing_writer
from rnnscope.data.hashing_writer import HashingWriter


@given(st.lists(st.binary(max_size=30)))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_what_is_written_is_in_the_file(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("written") / "file"
    saved, hashing_writer.BLOCK = hashing_writer.BLOCK, 16
    try:
        with HashingWriter(path) as file:
            assert [file.write(part) for part in parts] == list(map(len, parts))
            assert file.size == sum(map(len, parts))
    finally:
        hashing_writer.BLOCK = saved
    assert path.read_bytes() == b"".join(parts)
    assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_full_disk_is_noticed():
    with pytest.raises(OSError, match="No space left"), HashingWriter(hashing_writer.Path("/dev/full")) as file:
        file.write(b"some")
