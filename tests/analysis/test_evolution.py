"""The page of how a run came about, in a real browser, and what it says of words."""

import json

from test_inside_page import one_of, show  # noqa: F401 the fixture

from rnnscope.analysis.evolution import kept_steps, middle_samples, nearest, real_share, sample_cards
from rnnscope.analysis.reading import Reading
from rnnscope.runs.load import load
from rnnscope.runs.samples import Sample

SAMPLES = [Sample(step, 0.8, "", text) for step, text in ((10, "the xq an"), (20, "the Bird xq"), (40, "a bird saw the en"))]
KNOWN = {"the", "bird", "saw", "a"}


def test_words_become_real():
    assert [real_share(sample, KNOWN) for sample in SAMPLES] == [0.5, 1.0, 1.0]
    cards = sample_cards(SAMPLES, SAMPLES, KNOWN)
    assert [(card["step"], card["real"], card["new"]) for card in cards] == [
        (10, 50, ["the"]),
        (20, 100, ["bird"]),
        (40, 100, ["saw"]),
    ]
    assert sample_cards(SAMPLES, SAMPLES[:1], None)[0]["real"] is None


def test_the_samples_nearest_to_the_steps_and_the_last():
    assert [sample.step for sample in nearest(SAMPLES, [1, 11, 24])] == [10, 20, 40]
    assert nearest([], [100]) == []


def test_of_each_step_the_sample_of_the_middle_temperature(tmp_path):
    path = tmp_path / "samples.jsonl"
    rows = [{"step": 5, "temperature": heat, "text": f"at {heat}", "prompt": ""} for heat in (1.0, 0.5, 0.8)]
    path.write_text("\n".join([*map(json.dumps, rows), "cut of"]))
    assert middle_samples(path) == [Sample(5, 0.8, "", "at 0.8")]
    assert middle_samples(tmp_path / "missing") == []


def test_the_page(show, trained_run, story):  # noqa: F811
    page = show("page=evolution", f"text={story}", "characters=1500", "steps=[10,30]")
    titles = [caption.text.split("\n")[0].split(" ")[0] for caption in page.find_elements("css selector", "figcaption")]
    assert titles == ["Loss", "Update", "Words", "Detectors"]
    articles = page.find_elements("css selector", "article")
    assert [article.find_element("css selector", "h3").text for article in articles] == ["Step 10", "Step 30"]
    samples = {sample.step: sample.text for sample in middle_samples(trained_run.samples)}
    assert articles[1].find_element("css selector", "pre").get_property("textContent") == samples[30]
    assert kept_steps(trained_run) == [20]
    text = story.read_text(encoding="utf-8")[:1500]
    ranking = Reading(load(str(trained_run.path), 20), text).ranking
    seen = 0
    for name, score in zip(ranking.detectors, ranking.best_scores, strict=True):
        points = page.execute_script(
            "return [...document.querySelectorAll('title')].map((title) => title.textContent)"
            ".filter((text) => text.startsWith(arguments[0]))",
            f"{name}: 20, ",
        )
        seen += bool(points)  # the page has the detectors whose scores moved most
        assert not points or float(points[0].split(", ")[1]) == float(f"{score:.4g}")
    assert seen
