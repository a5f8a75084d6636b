"""In a real browser: the lab opens on the first lesson, its stored outputs show, and Run All goes through."""

import json
import shutil
import time

import pytest

pytestmark = pytest.mark.thorough

LESSON = "06_mlp.ipynb"  # a short one


@pytest.fixture
def tab():
    reason = 'no browser check: it asks for pip install -c constraints.txt -e ".[browser]"'
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser check: Chromium does not start here ({str(error).splitlines()[0]})")
        yield browser.new_page(viewport={"width": 1400, "height": 1000})
        browser.close()


def idle(tab) -> None:
    tab.wait_for_function("document.querySelector('#jp-main-statusbar')?.innerText.includes('| Idle')", timeout=240_000)


def test_the_lab_opens_on_the_first_lesson_and_run_all_goes_through(tab, start_lab, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    lab = start_lab(tmp_path, str(mine))

    # The address that it prints opens the lesson, and nothing stands between the two.
    tab.goto(lab.printed())
    idle(tab)
    assert tab.locator(".jp-Notebook h1").first.is_visible()
    assert tab.locator(".jp-Dialog, .Toastify__toast").count() == 0
    pictures = tab.locator(".jp-OutputArea-output img[alt]")
    first = pictures.first
    first.wait_for(timeout=120_000)
    assert first.evaluate("image => image.naturalWidth") > 100

    # A lesson without its outputs, as one who runs it for the first time has it after a restart.
    lesson = json.loads((mine / LESSON).read_text())
    code = [cell for cell in lesson["cells"] if cell["cell_type"] == "code"]
    for cell in code:
        cell["outputs"], cell["execution_count"] = [], None
    (mine / LESSON).write_text(json.dumps(lesson))
    tab.goto(lab.address(f"lab/workspaces/alone/tree/{LESSON}"))  # so that "Idle" speaks of this lesson
    idle(tab)
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = f"[{len(code)}]:"
    tab.wait_for_function(
        "last => [...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.innerText.trim() === last)",
        arg=last,
        timeout=300_000,
    )
    idle(tab)
    tab.keyboard.press("Control+s")
    cells, end = code, time.monotonic() + 120
    while cells[-1]["execution_count"] is None:
        assert time.monotonic() < end, f"not saved; the page says: {tab.inner_text('body')[-500:]}"
        tab.wait_for_timeout(1000)
        try:
            saved = json.loads((mine / LESSON).read_text())
        except ValueError:  # just being written
            continue
        cells = [cell for cell in saved["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(code) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
