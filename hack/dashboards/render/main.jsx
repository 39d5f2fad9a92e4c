// Draws one dashboard and tells the server of the page what was wrong with it.
const React = require('react');
const { createRoot } = require('react-dom/client');
const { createTheme, ThemeContext } = require('@grafana/data');
const { GlobalStyles, PanelChrome } = require('@grafana/ui');
const { framesOf } = require('./frames');
const { Body } = require('./panels');
const { annotations, problem, problems, variables } = require('./prometheus');

const WIDTH = 1600;
const ROW = 38;
const SETTLED = 1500; // milliseconds in which sizes are measured and canvases are drawn

function Panel({ panel, data, theme, values, config }) {
  const { x, y, w, h } = panel.gridPos;
  const column = WIDTH / 24;
  const box = { position: 'absolute', left: x * column, top: y * ROW, width: w * column - 8, height: h * ROW - 8 };
  if (panel.type === 'row') return <div style={{ ...box, paddingTop: 6, fontSize: 16, fontWeight: 500 }}>⌄ {panel.title}</div>;
  return (
    <div style={box}>
      <PanelChrome title={panel.title} description={panel.description} width={box.width} height={box.height}>
        {(width, height) => <Body panel={panel} data={data} w={width} h={height} theme={theme} values={values} config={config} />}
      </PanelChrome>
    </div>
  );
}

function Page({ dashboard, drawn, theme, values, config }) {
  const shown = dashboard.templating.list
    .filter((one) => one.type !== 'datasource')
    .map((one) => `${one.label}: ${values[one.name] === '.*' ? 'All' : values[one.name]}`);
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ padding: '0 4px 8px', display: 'flex', gap: 24, alignItems: 'baseline' }}>
        <span style={{ fontSize: 20 }}>{dashboard.title}</span>
        <span style={{ opacity: 0.7 }}>{shown.join('   ')}</span>
      </div>
      <div style={{ position: 'relative', width: WIDTH, height: bottom * ROW }}>
        {drawn.map(({ panel, data }) => <Panel key={panel.id} {...{ panel, data, theme, values, config }} />)}
      </div>
    </ThemeContext.Provider>
  );
}

class Boundary extends React.Component {
  state = { failed: false };

  componentDidCatch(error) {
    problem('page', `does not draw: ${error.stack}`);
    this.setState({ failed: true });
  }

  render() {
    return this.state.failed ? <pre>failed</pre> : this.props.children;
  }
}

async function main() {
  const config = await (await fetch('config.json')).json();
  const { dashboard } = config;
  const theme = createTheme({ colors: { mode: 'dark' } });
  const values = await variables(config, dashboard);
  await annotations(config, dashboard, values);
  const drawn = [];
  for (const panel of dashboard.panels) {
    drawn.push({ panel, data: panel.targets ? await framesOf(config, panel, values, theme) : [] });
  }
  createRoot(document.getElementById('root')).render(
    <Boundary><Page {...{ dashboard, drawn, theme, values, config }} /></Boundary>);
  await new Promise((done) => setTimeout(done, SETTLED));
}

async function tell() {
  await fetch('problems', { method: 'POST', body: JSON.stringify(problems) });
}

main().catch((error) => problem('page', error.stack)).then(tell);
