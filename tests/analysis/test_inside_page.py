"""The page of `rnnscope visualize`, in a real browser: what it shows, by mouse and by keyboard."""

import base64
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from messages import assert_says

from rnnscope.analysis.inside import packed
from rnnscope.cli import main
from rnnscope.runs.load import load

QUICK = ["memory=false", "causal=false"]
TEXT = 'said "one (two)" and then <b>"three"</b>.\n\nOf course: "abc" (d) the 12 ends. ' * 4
HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=1">\u202e\u2028\x1b[31m{{script}}\x00'


@pytest.fixture
def show(browser, tmp_path, capsys, trained_run):
    """Write the page of a run, open it, and check in the end that it neither complained nor fetched anything."""

    def run(*words: str) -> Any:
        path = tmp_path / "page (1).html"
        chosen = () if any(word.startswith("run=") for word in words) else (f"run={trained_run.path}",)
        assert main(["visualize", f"output={path}", *chosen, *words]) == 0, capsys.readouterr().err
        browser.get(path.as_uri())
        return browser

    yield run
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def one_of(page, selector: str) -> Any:
    (found,) = page.find_elements("css selector", selector)
    return found


def glyphs(page) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.glyph')].map((glyph) => glyph.textContent)")


def colors(page) -> list[tuple[int, float]]:
    """Return of each token's color how green it is, and how opaque."""
    found = page.execute_script(
        "return [...document.querySelectorAll('.token')].map((token) => getComputedStyle(token).backgroundColor)"
    )
    parts = [[float(part) for part in color[color.index("(") + 1 : -1].split(",")] for color in found]
    return [(int(color[1] > color[2]), color[3] if len(color) > 3 else 1.0) for color in parts]


def test_text_is_colored_by_the_unit_chosen(show, trained_run):
    page = show(f"text={TEXT}", "unit=0:5", *QUICK)
    run = load(str(trained_run.path))
    assert "".join(glyphs(page)) == TEXT.replace("\n", "\u23ce")
    for unit in (5, 11):
        page.execute_script(f"choose({unit})")
        values = np.tanh(run.states(TEXT)["cell"][:, 0, unit])
        for value, (green, opaque) in zip(values, colors(page), strict=True):
            assert opaque == pytest.approx(0.75 * abs(value), abs=0.01)
            assert green == (value > 0) or abs(value) < 0.02
    assert "0:11" in one_of(page, "#about").text
    one_of(page, "#relative").click()
    away = np.clip((values - values.mean()) / values.std() / 2, -1, 1)
    assert [opaque for _, opaque in colors(page)] == pytest.approx(0.75 * np.abs(away), abs=0.06)
    one_of(page, "#relative").click()
    page.execute_script("choose(data.order[0])")
    option = one_of(page, "#value option[value='2']")
    assert option.text == "input gate"
    option.click()
    gate = run.states(TEXT)["input"][:, 0, page.execute_script("return data.order[0]")]
    assert [opaque for _, opaque in colors(page)] == pytest.approx(0.75 * gate, abs=0.01)


def test_guesses_and_losses_stand_under_each_token(show, trained_run):
    page = show(f"text={TEXT}", *QUICK)
    run = load(str(trained_run.path))
    expected, ids = run.probabilities(TEXT), run.ids(TEXT)
    guesses = page.execute_script(
        "return [...document.querySelectorAll('.guess')].map((guess) => guess.textContent.split('\\n'))"
    )
    for at in (0, 7, 30):
        best = [run.vocabulary.tokens[id] for id in np.argsort(-expected[at])[:5]]
        special = {"<unk>": "unknown", "<s>": "START", "</s>": "END", " ": "\u2423", "\n": "\u23ce"}
        assert guesses[at] == [special.get(token, token) for token in best]
    losses = [found.get_property("textContent") for found in page.find_elements("css selector", ".loss")]
    wanted = [f"{-np.log(expected[at, ids[at + 1]]):.1f}" for at in range(len(ids) - 1)]
    assert losses == [*wanted, ""]
    assert one_of(page, "#guesses").is_selected()
    one_of(page, "#guesses").click()
    assert not page.find_element("css selector", ".guess").is_displayed()


def test_by_keyboard_alone(show):
    from selenium.webdriver import ActionChains, Keys

    page = show(f"text={TEXT}", *QUICK)

    def press(*keys: str) -> None:
        ActionChains(page).send_keys(*keys).perform()

    for _ in range(10):  # from the top of the page
        press(Keys.TAB)
        if page.execute_script("return document.activeElement.id") == "text":
            break
    press(*[Keys.ARROW_RIGHT] * 4)
    assert one_of(page, ".token.here").get_attribute("data-at") == "3"
    assert "token 3, \u2068d\u2069: unit" in one_of(page, "#here").text
    press(Keys.ARROW_LEFT)
    assert one_of(page, ".token.here").get_attribute("data-at") == "2"
    order = page.execute_script("return data.order")
    press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.execute_script("return state.unit") == order[2]
    press(Keys.ARROW_UP)
    assert page.execute_script("return [state.unit, Number(document.getElementById('unit').value)]") == [order[1]] * 2
    press(Keys.TAB, Keys.ENTER)  # the first unit that is on here
    button = page.switch_to.active_element
    assert page.execute_script("return state.unit") == int(button.get_attribute("data-unit"))


def test_a_click_on_a_token_lists_the_units_that_are_on(show, trained_run):
    page = show(f"text={TEXT}", *QUICK)
    token = page.find_elements("css selector", ".token")[12]
    token.click()
    values = np.tanh(load(str(trained_run.path)).states(TEXT)["cell"][:, 0])
    far = np.abs(values[12] - values.mean(0)) / values.std(0)
    buttons = page.find_elements("css selector", "#here button")
    shown = [int(button.get_attribute("data-unit")) for button in buttons]
    assert far[shown] == pytest.approx(np.sort(far)[::-1][:12], rel=0.1)
    buttons[3].click()
    assert page.execute_script("return state.unit") == shown[3]


def test_the_ranking_underlines_and_chooses(show):
    page = show(f"text={TEXT}", *QUICK)
    heads = [head.text for head in page.find_elements("css selector", "#ranking tbody th")]
    assert {"inside quotes", "position in word (graded)"} <= set(heads)
    row = page.find_elements("css selector", "#ranking tbody tr")[heads.index("inside quotes")]
    row.find_element("css selector", "button").click()
    lined = page.execute_script("return [...document.querySelectorAll('.detected .glyph')].map((glyph) => glyph.textContent)")
    assert "".join(lined) == '"one (two)"three"abc' * 4
    scores = [float(cell.text) for cell in page.find_elements("css selector", "#ranking tbody td:nth-of-type(2)")]
    assert scores == sorted(scores, reverse=True)


def test_hostile_and_unusual_text_is_shown_as_text(show, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(HOSTILE + "\n\u05d0\u05d1\u05d2 \u6f22\u5b57\n\U0001f642\u0301 end" * 20, encoding="utf-8")
    page = show(f"text={path}", *QUICK)
    assert page.execute_script("return window.owned") is None
    assert not page.find_elements("css selector", "#text img, #text b b, #text script")
    assert len(page.find_elements("css selector", "script")) == 4
    assert "unknown" in glyphs(page)
    written = (tmp_path / "page (1).html").read_text(encoding="utf-8")
    assert "\x1b" not in written
    assert "\u202e" not in written


def test_each_name_is_a_line_and_no_start_has_a_loss(show, outputs, tmp_path):
    from conftest import train

    (tmp_path / "names.txt").write_text("anna\nbob\ncarla\n" * 60)
    lines = ["dataset.corpus.lines=true", "dataset.windows=samples", "dataset.start_end=document"]
    run = train("dataset=text_files", f"dataset.corpus.path={tmp_path / 'names.txt'}", *lines).run
    page = show(f"run={run.path}", "text=anna\nbob\n", *QUICK)
    assert glyphs(page) == [*"anna", "END", "START", *"bob"]
    assert len(page.find_elements("css selector", ".line")) == 2
    losses = [found.get_property("textContent") for found in page.find_elements("css selector", ".loss")]
    assert [at for at, loss in enumerate(losses) if not loss] == [4, 8]


def test_a_text_that_is_too_short_to_rank_units_has_no_table(show):
    page = show("text=abcdefgh", *QUICK)
    assert not one_of(page, "#ranking").is_displayed()
    assert "rank" not in one_of(page, "#about").text


def test_all_sections_of_a_small_network(show, story, tmp_path_factory, monkeypatch):
    from conftest import train

    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
    sizes = ["model.hidden_size=4", "model.cell=gru", "model.num_layers=1", "dataset.lower_case=true"]
    run = train("dataset=text_files", f"dataset.corpus.path={story}", *sizes).run
    page = show(f"run={run.path}", f"text={TEXT * 3}")
    assert "GRU has no cell state" in one_of(page, "header").text
    assert one_of(page, "#value option[value='0']").text == "hidden state"
    captions = [caption.text.split("  ")[0] for caption in page.find_elements("css selector", "#memory figcaption")]
    assert [caption.split(" ")[0] for caption in captions] == ["Loss", "Time", "Gradient"]
    assert "tokens of context" in one_of(page, "#horizon").text
    assert "inside quotes" in one_of(page, "#causal tbody").text
    nets = page.find_elements("css selector", "#net svg")
    assert [net.get_attribute("aria-label") for net in nets] == ["before", "after one update"]
    before, after = (
        [float(text.text.split()[0]) for text in net.find_elements("css selector", ".caption") if "nats" in text.text]
        for net in nets
    )
    assert sum(after) < sum(before)
    assert len(nets[0].find_elements("css selector", ".right")) == 6


def test_a_value_takes_one_byte():
    assert len(packed(np.zeros((2 * 512, 5000)))) < 1.34 * 2 * 512 * 5000  # as base64
    values = np.frombuffer(base64.b64decode(packed(np.array([-1, -0.5, 0, 1, 2, np.nan]))), np.int8)
    assert values.tolist() == [-127, -64, 0, 127, 127, -128]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["text="], ["text", "empty"]),
        (["text= \n "], ["text", "empty"]),
        (["text=nowhere.txt"], ["text=nowhere.txt", "does not exist", "give a file"]),
        (["text=abcdefgh", "unit=3:1"], ["unit=3:1", "layer:unit"]),
        (["text=abcdefgh", "unit=quotes"], ["unit=quotes", "0:0"]),
        (["text=abcdefgh", "characters=1"], ["characters=1", "at least 2"]),
        (["page=neurons"], ["page=neurons", "inside", "evolution"]),
        (["split=dev"], ["split=dev", "train", "val", "test"]),
    ],
)
def test_mistakes(words, parts, trained_run, capsys, tmp_path):
    assert main(["visualize", f"run={trained_run.path}", f"output={tmp_path / 'x.html'}", *QUICK, *words]) == 1
    assert_says(capsys.readouterr().err.rstrip("\n"), *parts)
    assert not (tmp_path / "x.html").exists()


def test_of_a_long_file_the_beginning_is_taken_and_it_is_said(trained_run, tmp_path, capsys):
    path, page = tmp_path / "long", tmp_path / "x.html"
    with path.open("wb") as file:
        file.write("an é and more. ".encode() * 1000)
        file.truncate(50_000_000)
    assert main(["visualize", f"run={trained_run.path}", f"text={path}", "characters=300", f"output={page}", *QUICK]) == 0
    assert "the first 300 characters" in capsys.readouterr().err
    assert page.stat().st_size < 200_000


def test_words_stand_apart_and_letters_from_right_to_left_turn_a_line(show, tmp_path, outputs):
    page = show("run=examples/penn", "text=the company said it will sell its shares", *QUICK)
    one_of(page, "#guesses").click()
    gaps = page.execute_script(
        "return [...document.querySelectorAll('.token')].slice(1).map((token, at) => token.getBoundingClientRect().left"
        " - document.querySelectorAll('.token')[at].getBoundingClientRect().right)"
    )
    assert min(gaps) > 3
    (tmp_path / "lines.txt").write_text("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd\n" * 300, encoding="utf-8")
    words = [*TINY, "dataset.start_end=line", "trainer.max_steps=2", "monitor.sample_length=0"]
    assert main(["train", f"text={tmp_path / 'lines.txt'}", "name=hebrew", *words]) == 0
    page = show("run=hebrew", *QUICK)
    lines = page.execute_script("return [...document.querySelectorAll('.line')].map((line) => line.dir)")
    assert set(lines[:5]) == {"rtl"}
    ends = page.execute_script("return data.losses.findIndex((loss) => loss === null)")
    page.execute_script(f"goTo({ends})")
    assert_says(one_of(page, "#here bdi").text, "START", "follows", "given")
