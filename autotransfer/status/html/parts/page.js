"use strict";
// The drawings and the search. What is in them was decided in Python; here it is only laid out. Names are set as text,
// never as markup.
(function () {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const element = (id) => document.getElementById(id);
  const MARKS = { delivered: "✓", unproved: "?", assumed: "?", in_flight: "↑", retrying: "↻", failing: "!", empty: "·" };
  const MOST_TILES = 150, MOST_INNER = 40, MOST_ROWS = 50, MOST_FOUND = 20, LONG_DAYS = 120, LEAST_WIDTH = 220;
  const HINT = "Point at a folder to read about it, choose it to look inside.";
  const calm = !window.matchMedia("(prefers-reduced-motion: no-preference)").matches;
  document.documentElement.classList.add("js");

  // ---- words ---------------------------------------------------------------------------------------------------

  function sizeText(bytes) {
    for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
      if (bytes < 1000) return unit === "B" ? `${Math.round(bytes)} B` : `${bytes.toFixed(1)} ${unit}`;
      bytes /= 1000;
    }
    return `${bytes.toFixed(1)} PB`;
  }
  const number = d3.format(",");
  const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
  function ageText(seconds) {
    const whole = (count, noun) => counted(Math.max(0, Math.floor(count)), noun);
    if (seconds < 60) return whole(seconds, "second");
    if (seconds < 3600) return whole(seconds / 60, "minute");
    return seconds < 2 * 86400 ? whole(seconds / 3600, "hour") : whole(seconds / 86400, "day");
  }
  // Moments are shown in the time zone of the machine that transfers, as in the rest of the page.
  const shifted = (seconds) => new Date((seconds + facts.offset) * 1000);
  const momentText = (seconds) => shifted(seconds).toISOString().slice(0, 16).replace("T", " ");

  function make(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function chosen(group, onChoice) {
    const buttons = [...group.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        onChoice(button.dataset);
      });
    }
  }

  // ---- how old the page is -------------------------------------------------------------------------------------

  function showAge() {
    const seconds = Math.max(0, Date.now() / 1000 - facts.made);
    element("age").textContent = ` (${ageText(seconds)} ago)`;
    const isStale = facts.stale > 0 && seconds > facts.stale;
    element("stale").hidden = !isStale;
    const words = `This page is ${ageText(seconds)} old, though each run should renew it. What it says may no longer hold: ` +
      "look if main.py is still started.";
    if (isStale && element("stale").textContent !== words) element("stale").textContent = words;
  }
  showAge();
  setInterval(showAge, 30000);

  // ---- delivered per day ---------------------------------------------------------------------------------------

  let daysBack = 30;

  function dayPoints() {
    const known = new Map(facts.days.map(([day, files, bytes]) => [day, { files, bytes }]));
    const last = shifted(facts.made).toISOString().slice(0, 10);
    const first = facts.days[0][0];
    const day = (text) => new Date(`${text}T00:00:00Z`);
    const from = daysBack ? d3.utcDay.offset(day(last), 1 - daysBack) : day(first);
    const to = d3.utcDay.offset(new Date(Math.max(day(last), day(facts.days[facts.days.length - 1][0]))), 1);
    const points = d3.utcDay.range(from, to).map((date) => {
      const text = date.toISOString().slice(0, 10);
      return { from: date, to: d3.utcDay.offset(date, 1), name: text, ...(known.get(text) || { files: 0, bytes: 0 }) };
    });
    if (points.length <= LONG_DAYS) return points;
    return d3.groups(points, (point) => point.name.slice(0, 7)).map(([name, days]) => ({
      from: days[0].from, to: days[days.length - 1].to, name,
      files: d3.sum(days, (one) => one.files), bytes: d3.sum(days, (one) => one.bytes),
    }));
  }

  function byteTicks(most) {
    let unit = 1;
    while (most >= unit * 1000) unit *= 1000;
    return d3.ticks(0, most / unit, 3).map((tick) => tick * unit);
  }

  function shortSize(bytes) {
    return sizeText(bytes).replace(".0 ", " ");
  }

  function drawDays() {
    const place = element("days");
    if (!place) return;
    place.replaceChildren();
    const points = dayPoints();
    const grain = points.length && points[0].name.length === 7 ? "month" : "day";
    const series = [
      { key: "bytes", title: `Size per ${grain}`, height: 150, ticks: byteTicks, text: shortSize, full: sizeText },
      { key: "files", title: `Files per ${grain}`, height: 110, full: (value) => counted(value, "file"),
        ticks: (most) => d3.ticks(0, most, 3).filter(Number.isInteger), text: d3.format("~s") },
    ];
    for (const one of series) place.append(dayChart(points, one, Math.max(LEAST_WIDTH, place.clientWidth), grain));
  }

  function dayChart(points, one, width, grain) {
    const margin = { top: 26, right: 4, bottom: 22, left: 58 };
    const most = d3.max(points, (point) => point[one.key]) || 0;
    const peak = points.find((point) => point[one.key] === most);
    const x = d3.scaleUtc([points[0].from, points[points.length - 1].to], [margin.left, width - margin.right]);
    const y = d3.scaleLinear([0, most || 1], [one.height - margin.bottom, margin.top]);
    const total = d3.sum(points, (point) => point[one.key]);
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, one.height]).attr("height", one.height).attr("role", "img")
      .attr("aria-label", `${one.title} from ${points[0].name} to ${points[points.length - 1].name}: ${one.full(total)} in all` +
        (most ? `; most on ${peak.name}, ${one.full(most)}.` : "."));
    svg.append("text").attr("class", "title").attr("x", 0).attr("y", 12).text(one.title);
    svg.append("text").attr("x", width - margin.right).attr("y", 12).attr("text-anchor", "end").text(`${one.full(total)} in all`);
    const ticks = most ? one.ticks(most) : [];
    const grid = svg.append("g").attr("class", "grid");
    for (const tick of ticks) {
      grid.append("line").attr("x1", margin.left).attr("x2", width - margin.right).attr("y1", y(tick)).attr("y2", y(tick));
      grid.append("text").attr("x", margin.left - 8).attr("y", y(tick)).attr("dy", "0.32em").attr("text-anchor", "end")
        .text(one.text(tick));
    }
    for (const point of points) {
      const left = x(point.from), span = x(point.to) - left;
      const gap = Math.min(3, span * 0.25), value = point[one.key];
      const top = value ? Math.min(y(value), y(0) - 2) : y(0);
      svg.append("rect").attr("class", "day").attr("x", left + gap / 2).attr("width", Math.max(1, span - gap))
        .attr("y", top).attr("height", y(0) - top).attr("rx", Math.min(2, span / 4));
      svg.append("rect").attr("class", "reach").attr("x", left).attr("width", span).attr("y", margin.top)
        .attr("height", y(0) - margin.top)
        .append("title").text(`${point.name}: ${sizeText(point.bytes)}, ${counted(point.files, "file")}`);
    }
    svg.append("line").attr("class", "base").attr("x1", margin.left).attr("x2", width - margin.right)
      .attr("y1", y(0)).attr("y2", y(0));
    const form = d3.utcFormat(grain === "month" ? "%b %Y" : "%-d %b");
    const step = Math.ceil(points.length / Math.max(2, Math.floor(width / 90)));
    points.forEach((point, at) => {
      if ((points.length - 1 - at) % step) return;
      const half = form(point.from).length * 3.4, middle = (x(point.from) + x(point.to)) / 2;
      svg.append("text").attr("x", Math.max(half, Math.min(width - half, middle))).attr("y", one.height - 4)
        .attr("text-anchor", "middle").text(form(point.from));
    });
    return svg.node();
  }

  // ---- tasks ---------------------------------------------------------------------------------------------------

  function drawTasks() {
    const place = element("timeline");
    if (!place) return;
    place.replaceChildren();
    const tasks = facts.tasks.map(([label, standing, from, to, state, files, bytes, part]) =>
      ({ label, standing, from, to: Math.max(to, from), state, files, bytes, part }));
    if (!tasks.length) return;
    tasks.sort((one, other) => one.from - other.from);
    const width = Math.max(LEAST_WIDTH, place.clientWidth), lane = 14, margin = { top: 26, right: 6, bottom: 24, left: 6 };
    const first = tasks[0].from, last = Math.max(d3.max(tasks, (task) => task.to), first + 60);
    const x = d3.scaleUtc([shifted(first), shifted(last)], [margin.left, width - margin.right]);
    const ends = [];
    for (const task of tasks) {
      task.left = x(shifted(task.from));
      task.width = Math.max(3, x(shifted(task.to)) - task.left);
      task.lane = ends.findIndex((end) => end <= task.left);
      if (task.lane < 0) task.lane = ends.push(0) - 1;
      ends[task.lane] = task.left + task.width + 1.5;
    }
    const height = margin.top + ends.length * lane + 6 + margin.bottom;
    const counts = d3.rollup(tasks, (some) => some.length, (task) => task.standing);
    const words = { done: "succeeded", open: "in flight", bad: "did not succeed" };
    const outcomes = Object.keys(words).filter((one) => counts.get(one)).map((one) => `${counts.get(one)} ${words[one]}`).join(", ");
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("height", height).attr("role", "img")
      .attr("aria-label", `Timeline of the last ${counted(tasks.length, "task")} from ${momentText(first)} to ${momentText(last)}: ${outcomes}.`);
    svg.append("text").attr("class", "title").attr("x", 0).attr("y", 12).text(`From submission to end, ${counted(tasks.length, "task")}`);
    for (const task of tasks) {
      const top = margin.top + task.lane * lane;
      const mark = svg.append("g").attr("class", task.standing);
      mark.append("rect").attr("x", task.left).attr("width", task.width).attr("y", top)
        .attr("height", lane - 4).attr("rx", Math.min(2, task.width / 2)).attr("stroke-dasharray", task.standing === "open" ? "3 2" : null);
      if (task.standing === "bad") {
        mark.append("path").attr("d", d3.symbol(d3.symbolDiamond, 60)())
          .attr("transform", `translate(${task.left + task.width / 2},${top + lane / 2 - 2})`);
      }
      mark.append("title").text(`${task.label}\n${{ submitted: "in flight", reading: "its list is being read" }[task.state] ?? task.state}, ${momentText(task.from)} to ` +
        `${task.standing === "open" ? "now" : momentText(task.to)} (${ageText(task.to - task.from)})\n` +
        `${counted(task.files, "file")}, ${sizeText(task.bytes)}`);
    }
    const format = (moment) => d3.utcFormat(+d3.utcDay(moment) === +moment ? "%-d %b" : "%H:%M")(moment);
    svg.append("g").attr("transform", `translate(0,${height - margin.bottom})`)
      .call(d3.axisBottom(x).ticks(Math.max(2, Math.floor(width / 130))).tickSize(4).tickFormat(format)).attr("font-family", null);
    place.append(svg.node());
    const legend = element("timeline-legend");
    legend.replaceChildren();
    for (const standing of Object.keys(words)) {
      if (!counts.get(standing)) continue;
      const row = make("li");
      row.append(make("span", `dot ${standing}`), document.createTextNode(`${words[standing]} (${number(counts.get(standing))})`));
      legend.append(row);
    }
  }

  // ---- the tree ------------------------------------------------------------------------------------------------

  const tree = facts.tree;
  const nodes = tree.names.map((name, index) => ({
    index, name, parent: null, children: [], kind: tree.kinds[index] || "folder", files: tree.files[index],
    bytes: tree.bytes[index], last: tree.ages[index] < 0 ? 0 : facts.made - tree.ages[index],
    standing: tree.standingWords[tree.standings[index]], pending: tree.pending[index] || null,
  }));
  nodes.forEach((node, index) => {
    if (index) {
      node.parent = nodes[tree.parents[index]];
      node.parent.children.push(node);
    }
  });
  const root = nodes[0];
  let current = root, weight = "bytes";

  const title = (node) => node === root ? facts.root : node.kind === "files" ? "files in this folder itself"
    : node.kind === "rest" ? "its smaller folders" : node.name;
  const path = (node) => {
    const names = [];
    for (let at = node; at.parent; at = at.parent) names.push(at.name);
    return names.reverse().join("/");
  };
  const mayOpen = (node) => node.children.length > 0;
  const amount = (node) => `${counted(node.files, "file")}, ${sizeText(node.bytes)}`;

  function stateText(node) {
    if (!node.pending) return facts.words[node.standing];
    const [flyingFiles, flyingBytes, againFiles, againBytes, failing] = node.pending;
    const parts = [];
    if (flyingFiles) parts.push(`${counted(flyingFiles, "file")} (${sizeText(flyingBytes)}) in flight`);
    if (againFiles) parts.push(`${counted(againFiles, "file")} (${sizeText(againBytes)}) will be retried`);
    if (failing) parts.push(`${number(failing)} of them failed more than once`);
    const done = node.files - flyingFiles - againFiles;
    if (done) parts.push(`${number(done)} delivered`);
    return parts.join(", ");
  }

  const described = (node) => `${amount(node)}; ${stateText(node)}` +
    (node.last && node.kind !== "rest" ? `; last delivered ${momentText(node.last)}` : "");

  // What part of a node is in which state: by size, or by files where there is no size or files are what is shown.
  function parts(node) {
    if (!node.pending) return [[node.standing, 1]];
    const [flyingFiles, flyingBytes, againFiles, againBytes] = node.pending;
    const byFiles = weight === "files" || !node.bytes;
    const whole = byFiles ? node.files : node.bytes;
    const again = (byFiles ? againFiles : againBytes) / whole, flying = (byFiles ? flyingFiles : flyingBytes) / whole;
    const found = [];
    if (againFiles) found.push([node.standing === "failing" ? "failing" : "retrying", again]);
    if (flyingFiles) found.push(["in_flight", flying]);
    found.push(["delivered", Math.max(0, 1 - again - flying)]);
    return found;
  }

  function fill(place, node, height) {
    // From the bottom up; what is not delivered is never too thin to be seen.
    let bottom = 0;
    const all = parts(node);
    all.forEach(([standing, part], index) => {
      if (index === all.length - 1 && part <= 0) return;
      const layer = make("span", `fill s-${standing}`);
      const tall = index === all.length - 1 ? Math.max(0, height - bottom) : Math.min(height, Math.max(7, part * height));
      layer.style.bottom = `${bottom}px`;
      layer.style.height = `${tall}px`;
      bottom += tall;
      place.append(layer);
    });
  }

  function laidOut(items, width, height, padding) {
    const sized = d3.hierarchy({ items }, (one) => one.items).sum((one) => one.items ? 0 : one.share);
    d3.treemap().size([width, height]).paddingInner(padding).round(true)(sized);
    return sized.children || [];
  }

  function tilesOf(node, most) {
    const useFiles = weight === "files" || !node.bytes;
    const share = (child) => useFiles ? child.files : child.bytes;
    const sorted = node.children.filter((child) => child.files).sort((one, other) =>
      share(other) - share(one) || other.files - one.files || (one.name < other.name ? -1 : 1));
    const least = d3.sum(sorted, share) / 2500; // what waits is seen, however small it is
    const shown = [], merged = [];
    sorted.forEach((child, index) => {
      if (index < most || (child.pending && shown.length < 2 * most)) shown.push(child);
      else merged.push(child);
    });
    const tiles = shown.map((child) => ({ node: child, share: Math.max(share(child), child.pending ? least * 4 : least) }));
    if (merged.length) {
      const together = {
        kind: "merged", name: "", children: [], files: d3.sum(merged, (one) => one.files), bytes: d3.sum(merged, (one) => one.bytes),
        last: 0, standing: ["delivered", "assumed"].find((word) => merged.every((one) => one.standing === word)) ?? "unproved", pending: null, count: merged.length,
      };
      if (merged.some((one) => one.pending)) {
        together.pending = [0, 1, 2, 3, 4].map((at) => d3.sum(merged, (one) => one.pending ? one.pending[at] : 0));
        together.standing = together.pending[4] ? "failing" : together.pending[2] ? "retrying" : "in_flight";
      }
      tiles.push({ node: together, share: Math.max(share(together), least) });
    }
    return tiles;
  }

  const tileTitle = (node) => node.kind === "merged" ? `${number(node.count)} more` : title(node);

  function drawMap(focused) {
    const map = element("map");
    const width = Math.max(LEAST_WIDTH, map.clientWidth), height = Math.round(Math.max(380, Math.min(540, width * 0.5)));
    map.replaceChildren();
    const tiles = tilesOf(current, MOST_TILES);
    if (!tiles.length) {
      map.style.height = "auto";
      map.append(make("li", "empty", current.files
        ? "This folder holds files only. status.py --path answers for each of them."
        : "Nothing is recorded here."));
      map.firstChild.style.position = "static";
    } else {
      map.style.height = `${height}px`;
      for (const place of laidOut(tiles, width, height, 3)) map.append(tile(place));
    }
    const buttons = [...map.querySelectorAll("button")];
    const start = buttons.find((button) => button.node === focused) || buttons[0];
    for (const button of buttons) button.tabIndex = button === start ? 0 : -1;
    if (focused !== undefined && start) start.focus({ preventScroll: true });
  }

  function labelOf(node, isParent) {
    // A pattern behind letters would make them hard to read.
    const all = parts(node), [above, part] = all[all.length - 1];
    const top = part > 0 || all.length < 2 ? above : all[all.length - 2][0];
    const label = make("span", isParent ? "label" : `label plaque plain-${top}`);
    if (node.standing !== "delivered") label.append(make("span", "mark", MARKS[node.standing]));
    label.append(make("b", "", tileTitle(node)));
    return label;
  }

  function tile(place) {
    const node = place.data.node, row = make("li"), button = make("button");
    const wide = place.x1 - place.x0, high = place.y1 - place.y0;
    Object.assign(row.style, { left: `${place.x0}px`, top: `${place.y0}px`, width: `${wide}px`, height: `${high}px` });
    button.type = "button";
    button.node = node;
    if (mayOpen(node)) button.classList.add("opens");
    button.setAttribute("aria-label", `${tileTitle(node)}: ${described(node)}${mayOpen(node) ? "; opens" : ""}`);
    const inner = mayOpen(node) && wide > 150 && high > 110 ? tilesOf(node, MOST_INNER) : [];
    const hasLabel = wide > 44 && high > 20;
    if (inner.length) {
      button.classList.add("parent");
      for (const part of laidOut(inner, wide - 8, high - 30, 2)) {
        const tall = part.y1 - part.y0, box = make("span", "inner");
        Object.assign(box.style, { left: `${part.x0 + 4}px`, top: `${part.y0 + 26}px`, width: `${part.x1 - part.x0}px`, height: `${tall}px` });
        fill(box, part.data.node, tall);
        if (part.x1 - part.x0 > 64 && tall > 28) box.append(labelOf(part.data.node, false));
        button.append(box);
      }
    } else {
      fill(button, node, high);
    }
    if (hasLabel) {
      const label = labelOf(node, inner.length > 0);
      if (inner.length) label.append(document.createTextNode(`  ${sizeText(node.bytes)}`));
      else if (high > 40) label.append(make("small", "", weight === "files" ? counted(node.files, "file") : sizeText(node.bytes)));
      button.append(label);
    }
    const read = () => { element("reading").textContent = `${tileTitle(node)}: ${described(node)}`; };
    button.addEventListener("mouseenter", read);
    button.addEventListener("focus", () => {
      read();
      for (const other of element("map").querySelectorAll("button")) other.tabIndex = other === button ? 0 : -1;
    });
    button.addEventListener("click", () => mayOpen(node) ? open(node, null) : read());
    row.append(button);
    return row;
  }

  // The tile that lies next in a direction: the nearest one, and of those side by side the one most in line.
  function neighbour(from, key) {
    const here = from.getBoundingClientRect();
    const isAcross = key === "ArrowRight" || key === "ArrowLeft";
    const side = (box) => isAcross ? [box.top, box.bottom] : [box.left, box.right];
    const [first, last] = side(here);
    let best = null, least = Infinity;
    for (const button of element("map").querySelectorAll("button")) {
      const box = button.getBoundingClientRect(), [start, end] = side(box);
      const gap = { ArrowRight: box.left - here.right, ArrowLeft: here.left - box.right,
        ArrowDown: box.top - here.bottom, ArrowUp: here.top - box.bottom }[key];
      if (button === from || gap < -1) continue;
      const aside = Math.max(0, start - last, first - end), offset = Math.abs(start + end - first - last) / 2;
      const far = gap + 4 * aside + offset / 100;
      if (far < least) [best, least] = [button, far];
    }
    return best;
  }

  element("map").addEventListener("keydown", (event) => {
    const buttons = [...element("map").querySelectorAll("button")];
    let next = null;
    if (event.key.startsWith("Arrow")) next = neighbour(document.activeElement, event.key);
    else if (event.key === "Home") next = buttons[0];
    else if (event.key === "End") next = buttons[buttons.length - 1];
    else if (event.key === "Escape" || event.key === "Backspace") {
      if (current.parent) open(current.parent, current);
    } else return;
    event.preventDefault();
    if (next) next.focus();
  });

  // Shows a folder. `focused`: the tile that gets the focus, null the first one, undefined none.
  function open(node, focused) {
    current = node;
    const trail = element("trail");
    trail.replaceChildren();
    const line = [];
    for (let at = node; at; at = at.parent) line.unshift(at);
    for (const at of line) {
      const step = make("li");
      if (at === node) {
        const name = make("bdi", "", title(at));
        name.setAttribute("aria-current", "true");
        step.append(name);
      } else {
        const back = make("button");
        back.type = "button";
        back.append(make("bdi", "", title(at)));
        back.addEventListener("click", () => open(at, line[line.indexOf(at) + 1]));
        step.append(back);
      }
      trail.append(step);
    }
    element("here").textContent = described(node);
    element("reading").textContent = HINT;
    drawMap(focused);
    drawTable(MOST_ROWS);
  }

  function stateMark(node) {
    const mark = make("span", `state-mark s-${node.standing}`, MARKS[node.standing]);
    mark.setAttribute("aria-hidden", "true");
    return mark;
  }

  function drawTable(most) {
    const body = element("map-table").tBodies[0];
    body.replaceChildren();
    const rows = current.children.filter((child) => child.files)
      .sort((one, other) => other[weight] - one[weight] || other.files - one.files);
    for (const node of rows.slice(0, most)) {
      const row = make("tr"), name = make("th"), state = make("td");
      name.scope = "row";
      if (mayOpen(node)) {
        const button = make("button", "link");
        button.type = "button";
        button.append(make("bdi", "", title(node)));
        button.addEventListener("click", () => {
          open(node);
          element("map-table").querySelector("tbody button, caption, thead th")?.focus();
        });
        name.append(button);
      } else name.append(make("bdi", "", title(node)));
      state.append(stateMark(node), document.createTextNode(stateText(node)));
      row.append(name, state, make("td", "number", number(node.files)), make("td", "number", sizeText(node.bytes)),
        make("td", "when", node.last && node.kind !== "rest" ? momentText(node.last) : ""));
      body.append(row);
    }
    const more = element("map-more");
    more.hidden = rows.length <= most;
    more.textContent = `Show all ${number(rows.length)}`;
  }
  element("map-more").addEventListener("click", () => drawTable(Infinity));

  // ---- the search ----------------------------------------------------------------------------------------------

  let index = null;
  const folded = (text) => text.normalize("NFC").toLowerCase();

  function trimmed(text) {
    let wanted = text.trim();
    if (wanted === facts.root || wanted.startsWith(facts.root.replace(/\/?$/, "/"))) wanted = wanted.slice(facts.root.length);
    return wanted.replace(/^\/+|\/+$/g, "");
  }

  // The deepest folder of the page that a path lies in.
  function holding(wanted) {
    let at = root;
    for (const name of wanted.split("/")) {
      const next = at.children.find((child) => child.kind === "folder" && folded(child.name) === folded(name));
      if (!next) break;
      at = next;
    }
    return at;
  }

  function find() {
    const list = element("found"), result = element("found-count"), wanted = trimmed(element("wanted").value);
    list.replaceChildren();
    result.textContent = "";
    if (!wanted) return;
    index = index || nodes.filter((node) => node.kind === "folder" && node !== root)
      .map((node) => ({ node, text: folded(path(node)) }));
    const key = folded(wanted);
    let found = index.filter((one) => one.text.includes(key)).map((one) => one.node);
    const rank = (node) => node.standing === "failing" || node.standing === "retrying" ? 1 : 0;
    const isExact = (node) => folded(path(node)) === key ? 1 : 0;
    found.sort((one, other) => isExact(other) - isExact(one) || rank(other) - rank(one) || other.bytes - one.bytes);
    if (found.length) {
      result.textContent = `${counted(found.length, "folder")}${found.length > MOST_FOUND ? `; the first ${MOST_FOUND} are shown` : ""}`;
    } else {
      const above = holding(wanted);
      const ask = `For one file, status.py --path "${wanted}" says on the machine that transfers whether it has arrived.`;
      if (above === root) result.textContent = `No folder of this page has that in its path. ${ask}`;
      else {
        result.textContent = `The page lists no files and not every small folder. This is the folder that it would lie in. ${ask}`;
        found = [above];
      }
    }
    for (const node of found.slice(0, MOST_FOUND)) {
      const row = make("li"), button = make("button");
      button.type = "button";
      button.append(stateMark(node), make("bdi", "", path(node)), make("span", "", `${amount(node)}; ${stateText(node)}`));
      button.addEventListener("click", () => {
        list.replaceChildren();
        open(node, null);
        element("trail").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
      });
      row.append(button);
      list.append(row);
    }
  }
  element("wanted").addEventListener("input", find);
  element("search").addEventListener("submit", (event) => {
    event.preventDefault();
    element("found").querySelector("button")?.click();
  });

  // ---- all of it -----------------------------------------------------------------------------------------------

  const standings = ["delivered", "unproved", "in_flight", "retrying", "failing", "assumed"].filter((one) =>
    !["unproved", "assumed"].includes(one) || tree.standingWords.includes(one));
  for (const standing of standings) {
    const row = make("li"), swatch = make("span", `swatch s-${standing}`, MARKS[standing]);
    swatch.setAttribute("aria-hidden", "true");
    row.append(swatch, document.createTextNode(facts.words[standing]));
    element("legend").append(row);
  }
  element("not-shown").textContent = tree.shown < tree.seen
    ? `The page names ${number(tree.shown)} of ${number(tree.seen)} folders: the largest, and those where something waits. The others are added up.`
    : "";

  if (facts.days.length) chosen(document.querySelector("[aria-label='How far back']"), (choice) => { daysBack = Number(choice.days); drawDays(); });
  chosen(document.querySelector("[aria-label='What the area stands for']"), (choice) => { weight = choice.weight; open(current); });
  drawDays();
  drawTasks();
  open(root);
  let drawnWidth = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth === drawnWidth) return;
    drawnWidth = document.body.clientWidth;
    drawDays();
    drawTasks();
    drawMap();
  }).observe(document.body);
})();
