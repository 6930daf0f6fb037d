"""A headless Chromium that tells all that a page does."""

import base64
import contextlib
import io
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


class Browser:
    """Opens one page after the other, from disk."""

    def __init__(self, driver):
        self._driver = driver

    def open(self, path: pathlib.Path, *, width: int = 1200, scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.get_log("performance")
        self._driver.get(path.as_uri())

    def run(self, script: str):
        return self._driver.execute_script(script)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What was asked for since the page was opened, but for `data:`."""
        messages = [
            json.loads(e["message"])["message"] for e in self._driver.get_log("performance")
        ]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in sent]
        return [url for url in urls if not url.startswith("data:")]

    def pixels(self) -> np.ndarray:
        with Image.open(io.BytesIO(self._driver.get_screenshot_as_png())) as image:
            return np.asarray(image.convert("RGB"))

    def pdf(self) -> bytes:
        return base64.b64decode(self._driver.execute_cdp_cmd("Page.printToPDF", {})["data"])

    def barriers(self) -> list[str]:
        """What axe finds that keeps people from using the page."""
        from axe_core_python.selenium import Axe

        found = Axe().run(self._driver)["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@contextlib.contextmanager
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
