// What a dashboard asks, asked of Prometheus: variables, queries, annotations. What fails or finds nothing is collected.
const problems = [];

// React draws more than once: each is told once.
function problem(where, what) {
  if (!problems.some((one) => one.where === where && one.what === what)) problems.push({ where, what });
}

async function api(prometheus, path, params) {
  const answer = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(params)}`);
  const told = await answer.json();
  if (told.status !== 'success') throw new Error(`${told.errorType}: ${told.error}`);
  return told.data;
}

// Variables as Grafana fills them in: $name and ${name}; what is none stays, such as $1.
function filled(text, values) {
  return text.replace(/\$\{(\w+)(?::\w+)?\}|\$([a-zA-Z_]\w*)/g, (all, one, other) => values[one ?? other] ?? all);
}

async function variables(config, dashboard) {
  const { prometheus, from, to, step, scrape } = config;
  const range = to - from;
  const values = {
    __range: `${range}s`, __range_s: String(range), __interval: `${step}s`,
    __rate_interval: `${Math.max(step + scrape, 4 * scrape)}s`,
  };
  for (const variable of dashboard.templating.list) {
    const given = config.values[variable.name];
    if (variable.type === 'datasource') values[variable.name] = 'prometheus';
    else if (variable.type === 'textbox') values[variable.name] = given ?? variable.query;
    else {
      const query = filled(variable.query.query, values);
      const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(query);
      const found = await api(prometheus, `label/${label}/values`, { 'match[]': series, start: from, end: to });
      if (!found.length) problem(`variable ${variable.name}`, `no values for ${query}`);
      if (given !== undefined && !found.includes(given)) problem(`variable ${variable.name}`, `${given} is not among ${found}`);
      values[variable.name] = given ?? (variable.allValue || found[0] || '');
    }
  }
  return values;
}

// The answer to one target: its series, and the expression that was asked.
async function asked(config, target, values) {
  const expr = filled(target.expr, values);
  const { prometheus, from, to, step } = config;
  const data = target.instant
    ? await api(prometheus, 'query', { query: expr, time: to })
    : await api(prometheus, 'query_range', { query: expr, start: from, end: to, step });
  if (data.resultType === 'scalar') return { expr, series: [{ metric: {}, value: data.result }] };
  return { expr, series: data.result };
}

async function annotations(config, dashboard, values) {
  for (const one of dashboard.annotations.list) {
    try {
      await asked(config, { expr: one.expr }, values);
    } catch (error) {
      problem(`annotation ${one.name}`, error.message);
    }
  }
}

module.exports = { annotations, asked, filled, problem, problems, variables };
