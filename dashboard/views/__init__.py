"""One module a page; each has `render()`, which draws it."""
