"""`headway ui`: a web page on 127.0.0.1 that shows what the verbs of the command line show, with the user's kubeconfig.

How it is built, for who adds a page:

- **A page is a function** `(Asked) -> View | Data | Plain` in a module of `headway_cli.ui.pages`, listed there in the
  module's `ROUTES` and in `pages.MODULES`. It runs in a thread, so it may call kubectl by the functions of
  `headway_cli.cluster`. It imports no aiohttp, and raises ClusterError: the server makes a plain page of that (or JSON,
  for a route with `data=True`).
- **`Route(path, page, name, nav, data)`**: path as `/jobs/{namespace}/{name}/trials`; parts in braces have been judged
  by `is_name` before the page is called. `nav`: the label in the head of every page, for a page without such parts.
- **`Asked`**: `asked.names["namespace"]`, `asked.word("phase")`, `asked.whole("page", 1, most=1000)` (query string),
  `asked.kubectl(namespace)` (a Kubectl of the user's target), `asked.now`, and `asked.kept(key, seconds, read)`, by
  which several pages share one read of the cluster for some seconds.
- **`View(template, title, data)`**: a Jinja2 template in `templates/`, which extends `base.html` and fills the blocks
  `main` and, for scripts, `scripts`. Everything is escaped; nothing is marked safe. Filters: `short` (age) and
  `printable`, which what a tenant wrote goes through. Globals: `url("job", namespace=..., name=...)`, the address of a
  route by its name, and `static("style.css")`.
- **No inline script, no inline style** (the Content-Security-Policy forbids them): widths are SVG attributes or
  `<progress>`; scripts are files in `static/`, with data in `data-*` attributes or from a `Data` route by `fetch`.
- **Live parts**: an element with an `id` and the attribute `data-live` is replaced by `static/live.js` when the page,
  which is asked for again every `data-every` seconds of `<body>` (`View.every`), has another one. A script that draws
  into an element asks its own `Data` route, and listens to the event `headway:replaced` on `document` if it has to draw
  again. Elements without `data-live` stay.
- **A chart** is `<figure class="chart" data-chart="curves" data-source="/jobs/NS/NAME/curves.json" data-every="2">`
  with a `<figcaption>`; `static/charts.js`, which a page names in its block `scripts` after uPlot, finds all of these.
- **The look** is `static/style.css`, and of drawings `static/drawings.css`. In a block `styles` a page with charts
  names `vendor/uPlot.min.css`.
"""
