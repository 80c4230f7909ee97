"""Two hundred kills of `rnnscope runs` in the middle of moves."""

import shutil

from kill_moves import kill_again_and_again


def test_two_hundred_kills_lose_no_run(trained_run, outputs):
    for name in ("a/1", "b/2", "b/3"):
        shutil.copytree(trained_run.path, outputs / "runs" / name)
    kill_again_and_again(outputs, 200)
