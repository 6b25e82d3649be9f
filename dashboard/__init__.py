"""What people look at: a Streamlit application on 127.0.0.1 that reads the published file and nothing else.

One page a question in `views/` (Streamlit would serve the files of a folder `pages/` itself); what pages
share stands beside it: `data` (queries), `filters` (what is chosen, kept in the address), `options` (what
is chosen within a page), `components` (figures, panels, tables, downloads), `charts` (the one theme),
`formats`. `queries` and `figures` hold what the larger pages ask and draw. No definition is written here:
they come with the published file, from the models' descriptions.
"""
