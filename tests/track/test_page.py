"""The page a person watches, in a real browser."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from foreknow.track.mlflow import MLflowTracker

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("mlflow"),
    pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="Chromium isn't here"),
]

METRICS = [
    "learning_rate",
    "train_loss",
    "train_metric_average_precision",
    "val_loss",
    "val_metric_average_precision",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "window-size=1400,1100"),
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def page_holds(browser, *texts):
    WebDriverWait(browser, 60).until(
        lambda b: all(t in b.find_element(By.TAG_NAME, "body").text for t in texts), f"the page doesn't show {texts}"
    )


def test_curves_are_drawn_while_it_trains(server, browser):
    tracker = MLflowTracker(
        server.url, "HM_Dataset/binary_classification/Churn", tags={}, description="watched", server=server
    )
    for epoch in (1, 2, 3):
        tracker.log_metrics(dict.fromkeys(METRICS, 0.5 / epoch), step=epoch)
    browser.get(tracker.url)
    page_holds(browser, tracker.run_name, "HM_Dataset/binary_classification/Churn", "Running", "watched")
    browser.get(tracker.url.replace("?", "/model-metrics?"))
    page_holds(browser, "(5)", *METRICS)
    WebDriverWait(browser, 60).until(
        lambda b: len(b.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .scatterlayer path.js-line")) >= len(METRICS),
        "not every metric has a curve",
    )
    tracker.finish("FINISHED")
    browser.get(tracker.url)
    browser.refresh()  # from one address to the other only the part after the # differs
    page_holds(browser, tracker.run_name, "Finished")
