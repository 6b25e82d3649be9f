"""The dashboard in a real browser: every page and filter, figures against SQL, pictures.

Run by `make test-browser`. Needs Chromium: `apt-get install chromium`, or
`.venv/bin/playwright install --with-deps --only-shell chromium`, or its path in CHROMIUM.
"""
