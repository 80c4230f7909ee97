import hashlib
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
from messages import assert_says, user_error

from rnnscope.data.download import Remote, local_file

TEXT = b"a text from elsewhere\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    folder = tmp_path_factory.mktemp("server")
    (folder / "text.txt").write_bytes(TEXT)
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/text.txt"
    server.shutdown()
    server.server_close()
    thread.join()


def test_downloaded_once_and_verified(server, tmp_path):
    said = []
    path = local_file("mine.txt", Remote(server, SHA256), tmp_path, said.append)
    assert path == tmp_path / "downloads" / "mine.txt"
    assert path.read_bytes() == TEXT
    (line,) = said
    assert_says(line, server, path)
    dead = Remote("http://127.0.0.1:9/text.txt", SHA256)
    assert local_file("mine.txt", dead, tmp_path, said.append) == path
    assert len(said) == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(server, tmp_path, monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    local_file("mine.txt", Remote(server, SHA256), tmp_path, print)
    assert ("100%" in capsys.readouterr().err) == terminal


def test_md5_where_there_is_no_sha256(server, tmp_path):
    remote = Remote(server, md5=hashlib.md5(TEXT).hexdigest())
    assert local_file("mine.txt", remote, tmp_path, print).read_bytes() == TEXT


def test_a_damaged_cache_is_replaced(server, tmp_path):
    path = tmp_path / "downloads" / "mine.txt"
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    said = []
    local_file("mine.txt", Remote(server, SHA256), tmp_path, said.append)
    assert path.read_bytes() == TEXT
    (line,) = said
    assert_says(line, server, path, "damaged")


def test_the_data_folder_comes_first_but_not_blindly(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    (tmp_path / "mine.txt").write_bytes(TEXT)
    said = []
    remote = Remote(server, SHA256)
    assert local_file("mine.txt", remote, tmp_path / "cache", said.append) == tmp_path / "mine.txt"
    assert said == []
    (tmp_path / "mine.txt").write_bytes(b"another")
    assert local_file("mine.txt", remote, tmp_path / "cache", said.append) == tmp_path / "cache/downloads/mine.txt"
    assert_says(said[0], "warning", tmp_path / "mine.txt", f"sha256:{SHA256}")


def test_a_wrong_hash(server, tmp_path):
    with user_error(server, f"sha256:{'0' * 64}", tmp_path / "downloads/mine.txt"):
        local_file("mine.txt", Remote(server, "0" * 64), tmp_path, print)
    assert not (tmp_path / "downloads/mine.txt").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_no_network(tmp_path, monkeypatch, damaged):
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    place = tmp_path / "downloads/mine.txt"
    if damaged:
        place.parent.mkdir()
        place.write_bytes(b"damaged")
    damage = ["damaged"] if damaged else []
    with user_error("http://127.0.0.1:9/text.txt", "connection", *damage, place, "RNNSCOPE_DATA", "mine.txt") as error:
        local_file("mine.txt", Remote("http://127.0.0.1:9/text.txt", SHA256), tmp_path, print)
    assert ("damaged" in str(error.value)) == damaged


def test_a_url_without_a_hash(tmp_path):
    with user_error("dataset.corpus.url", "http://127.0.0.1:9/x", "dataset.corpus.sha256"):
        local_file("mine.txt", Remote("http://127.0.0.1:9/x"), tmp_path, print)


def test_a_file_that_the_server_lacks(server, tmp_path):
    url = server.replace("text.txt", "no-such.txt")
    with user_error(url, "404 File not found", tmp_path / "downloads/mine.txt", "RNNSCOPE_DATA", "mine.txt"):
        local_file("mine.txt", Remote(url, SHA256), tmp_path, print)


@pytest.mark.parametrize("path", ["../mine.txt", "/tmp/mine.txt", "a/../../mine.txt"])
def test_a_name_that_leads_out_of_the_cache(server, tmp_path, path):
    with user_error(path, "cache", server, "file name"):
        local_file(path, Remote(server, SHA256), tmp_path / "cache", print)
    assert not list(tmp_path.rglob("mine.txt"))
