// The panels, drawn by @grafana/ui.
const React = require('react');
const {
  dateTime, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, renderTextPanelMarkdown, VizOrientation,
} = require('@grafana/data');
const { BarGauge, BigValue, Table, TimeSeries, VizRepeater } = require('@grafana/ui');
const { filled, problem } = require('./prometheus');

function Nothing({ panel }) {
  const told = panel.fieldConfig.defaults.noValue ?? 'No data';
  return <div style={{ display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', opacity: 0.7 }}>{told}</div>;
}

function Text({ panel, values }) {
  const html = renderTextPanelMarkdown(filled(panel.options.content, values));
  return <div className="markdown-html" style={{ padding: 8 }} dangerouslySetInnerHTML={{ __html: html }} />;
}

function Curves({ panel, data, w, h, config }) {
  const range = { from: dateTime(config.from * 1000), to: dateTime(config.to * 1000) };
  return (
    <TimeSeries frames={data} width={w} height={h} timeRange={{ ...range, raw: range }} timeZone="utc"
      legend={panel.options.legend} options={panel.options} />
  );
}

function displayed(panel, data, theme) {
  return getFieldDisplayValues({
    data, theme, fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables: (text) => text,
    sparkline: panel.options.graphMode === 'area', timeZone: 'utc',
  });
}

function Numbers({ panel, data, w, h, theme }) {
  const { colorMode, graphMode, textMode } = panel.options;
  return (
    <VizRepeater getValues={() => displayed(panel, data, theme)} width={w} height={h} source={data} renderCounter={0}
      orientation={VizOrientation.Auto}
      renderValue={({ value, width, height, count }) => (
        <BigValue value={count > 1 || textMode === 'name' ? value.display : { ...value.display, title: undefined }} count={count}
          sparkline={value.sparkline} colorMode={colorMode} graphMode={graphMode} width={width} height={height} theme={theme} textMode={textMode} />
      )} />
  );
}

function Bars({ panel, data, w, h, theme }) {
  return (
    <VizRepeater getValues={() => displayed(panel, data, theme)} width={w} height={h} source={data} renderCounter={0}
      orientation={VizOrientation.Horizontal} itemSpacing={6} minVizHeight={16} maxVizHeight={40}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors }) => (
        <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)} width={width}
          height={height} orientation={VizOrientation.Horizontal} displayMode={panel.options.displayMode} theme={theme}
          alignmentFactors={alignmentFactors} showUnfilled valueDisplayMode={panel.options.valueMode} itemSpacing={6} lcdCellWidth={8} />
      )} />
  );
}

function Rows({ panel, data, w, h }) {
  const frame = data[0];
  const names = frame.fields.map((field) => getFieldDisplayName(field, frame, data));
  // What data links take of a row has to be among its columns.
  for (const override of panel.fieldConfig.overrides) {
    for (const link of override.properties.filter((one) => one.id === 'links').flatMap((one) => one.value)) {
      for (const [, name] of link.url.matchAll(/\$\{__data\.fields\.(\w+)\}/g)) {
        if (!names.includes(name)) problem(panel.title, `a link needs the column ${name}; there are ${names}`);
      }
    }
  }
  const sorted = panel.options.sortBy.map(({ displayName, desc }) => ({ displayName, desc }));
  return <Table data={frame} width={w} height={h} initialSortBy={sorted} cellHeight="sm" />;
}

const DRAWN = { timeseries: Curves, stat: Numbers, bargauge: Bars, table: Rows };

function Body(props) {
  const { panel, data } = props;
  if (panel.type === 'text') return <Text {...props} />;
  const Drawn = DRAWN[panel.type];
  if (!Drawn) {
    problem(panel.title, `nobody can draw ${panel.type}`);
    return <div>{panel.type}</div>;
  }
  return data.length ? <Drawn {...props} /> : <Nothing panel={panel} />;
}

module.exports = { Body };
