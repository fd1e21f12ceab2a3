"""Takes the pictures of README.md: trains a sweep, and photographs what TensorBoard shows of it in Chromium."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWEEP = ("data=circles", "model=mlp", "optimizer=sgd,adam", "seed=0,1", "trainer.max_epochs=60", "figures.regions=true")
PANELS = {
    "scalars": ("custom_scalars", 1500, 760),
    "hparams": ("hparams", 2100, 340),
    "images": ("images&tagFilter=regions", 1500, 560),
}
"""Each picture's panel, its width and height in dots."""
SECONDS_TO_SETTLE = 5


def main() -> None:
    """Trains, serves and photographs, in a folder that is deleted afterwards."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "fulmen.cli.main", "-m", *SWEEP], cwd=folder, check=True)
        (logs,) = Path(folder, "logs", "sweeps").iterdir()
        serve = [sys.executable, "-m", "tensorboard.main", "--logdir", logs.name, "--port", "0", "--host", "127.0.0.1"]
        with subprocess.Popen(serve, cwd=logs.parent, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                photograph(browser.new_page(), address)
                browser.close()
            server.terminate()


def photograph(page: Page, address: str) -> None:
    """Opens each panel, waits until nothing moves any more, and saves it."""
    for name, (panel, width, height) in PANELS.items():
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{address}#{panel}")
        page.wait_for_timeout(SECONDS_TO_SETTLE * 1000)
        page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"screenshots: {sys.argv[1]} is one word too many; it takes none")
    main()
