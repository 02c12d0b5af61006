"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { parties, events, messages, blocks, faults } = data;
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes, ...children) => {
    const element = document.createElementNS(SVG, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    element.append(...children);
    return element;
  };
  const html = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const seconds = (t) => t.toFixed(3) + " s";
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

  // What happened to one party at one moment is one row.
  const HIDDEN = new Set(["shows", "chose"]);
  const rows = [];
  const rowOf = new Array(events.length).fill(0);
  events.forEach((event, index) => {
    const last = rows[rows.length - 1];
    if (HIDDEN.has(event.k) && last) { rowOf[index] = rows.length - 1; last.end = index; return; }
    const party = event.p ?? -1;
    if (last && last.t === event.t && last.p === party && party >= 0 && event.k !== "objected") { last.events.push(index); last.end = index; }
    else rows.push({ t: event.t, p: party, events: HIDDEN.has(event.k) ? [] : [index], end: index });
    rowOf[index] = rows.length - 1;
  });

  const KINDS = ["operation", "read", "merged", "sent", "arrived", "timer", "synced", "acknowledged", "noticed", "started", "crashed", "noted", "objected"];
  const MESSAGES = ["broadcast", "request", "block", "not-found"];
  const FATES = { ok: "delivered", held: "held back", flipped: "bit flipped", lost: "lost", cut: "stopped by a fault" };
  const shown = { kinds: new Set(KINDS), messages: new Set(MESSAGES), fates: new Set(Object.keys(FATES)), parties: new Set(parties.keys()) };
  let search = "";
  let now = 0;

  const isShown = (index) => {
    const event = events[index];
    if (event.p !== undefined && !shown.parties.has(event.p)) return false;
    const kind = event.k === "made" ? "operation" : event.k === "refused" ? "acknowledged" : event.k.startsWith("fault-") ? "noted" : event.k === "decided" ? "noticed" : event.k;
    if (!shown.kinds.has(kind)) return false;
    if (event.m !== undefined) {
      const message = messages[event.m];
      if (!shown.messages.has(message.kind) || !shown.fates.has(message.fate)) return false;
      if (!shown.parties.has(message.from) || !shown.parties.has(message.to)) return false;
    }
    return !search || (event.x + " " + (event.p === undefined ? "" : parties[event.p])).toLowerCase().includes(search) || (event.m !== undefined && messages[event.m].says.includes(search));
  };

  // Where things are: rows that are shown, from top to bottom.
  const ROW = 17, TOP = 8;
  let visible = [], placeOf = [], laneX = [], width = 0, gutter = 58;
  const layout = () => {
    visible = [];
    placeOf = new Array(rows.length);
    rows.forEach((row, index) => {
      row.shown = row.events.filter(isShown);
      placeOf[index] = visible.length;
      if (row.shown.length) visible.push(index);
    });
    document.documentElement.style.setProperty("--bar", $("bar").offsetHeight + "px");
    // On a narrow screen the diagram is hidden behind another tab, and has no width; it is laid out again when it is shown.
    width = $("sheet").clientWidth || width || 320;
    gutter = width < 500 ? 46 : 62;
    const lanes = [...shown.parties].sort((a, b) => a - b);
    const step = (width - gutter - 16) / Math.max(lanes.length, 1);
    laneX = [];
    lanes.forEach((party, place) => { laneX[party] = gutter + step * (place + .5); });
    $("lanes").replaceChildren(...lanes.map((party) => {
      const label = html("span", { textContent: parties[party], title: parties[party] });
      label.style.left = laneX[party] + "px";
      label.style.maxWidth = step - 4 + "px";
      return label;
    }));
    const height = TOP * 2 + visible.length * ROW;
    $("nothing").hidden = visible.length > 0;
    $("diagram").setAttribute("width", width);
    $("diagram").setAttribute("height", height);
    draw();
  };
  const y = (row) => TOP + (placeOf[row] + .5) * ROW;

  // Bands: while a replica is down, and while a fault lasts.
  const downs = [], lasting = [];
  {
    const since = new Map(), begun = new Map();
    events.forEach((event, index) => {
      if (event.k === "crashed") since.set(event.p, index);
      if (event.k === "noted" && / leaves$/.test(event.x)) since.set(parties.indexOf(event.x.replace(/ leaves$/, "")), index);
      if (event.k === "started" && since.has(event.p)) { downs.push([event.p, since.get(event.p), index]); since.delete(event.p); }
      if (event.k === "fault-begins") begun.set(event.f, index);
      if (event.k === "fault-ends" && begun.has(event.f)) { lasting.push([event.f, begun.get(event.f), index]); begun.delete(event.f); }
    });
    const end = events.length - 1;
    since.forEach((from, party) => downs.push([party, from, end]));
    begun.forEach((from, fault) => lasting.push([fault, from, end]));
  }
  const noteOf = (number) => faults.find((fault) => fault.number === number);

  const MARKS = { crashed: "✗", started: "▲", operation: "●", read: "○", merged: "◆", timer: "·", synced: "–", acknowledged: "✓", noticed: "!", decided: "!", arrived: "∘", sent: "∘", refused: "✗", made: "■", noted: "", objected: "⚑" };
  const RANK = ["objected", "crashed", "started", "operation", "refused", "merged", "made", "noticed", "decided", "acknowledged", "read", "timer", "arrived", "sent", "synced"];
  const COLOURS = { crashed: "var(--bad)", refused: "var(--bad)", noticed: "var(--warn)", decided: "var(--warn)", operation: "var(--accent)", merged: "var(--good)", objected: "var(--bad)", acknowledged: "var(--good)", started: "var(--good)" };

  const arrow = (x1, y1, x2, y2, colour, more) => {
    const angle = Math.atan2(y2 - y1, x2 - x1), size = 5;
    const wing = (turn) => `${x2 - size * Math.cos(angle + turn)},${y2 - size * Math.sin(angle + turn)}`;
    return [make("line", { x1, y1, x2, y2, stroke: colour, ...more }), make("polygon", { points: `${x2},${y2} ${wing(.45)} ${wing(-.45)}`, fill: colour })];
  };

  const drawMessage = (message, chosen) => {
    const from = laneX[message.from], to = laneX[message.to];
    const start = y(rowOf[message.sent]);
    const colour = chosen ? "var(--violet)" : message.fate === "flipped" ? "var(--violet)" : `var(--${message.kind})`;
    const more = { "stroke-width": chosen ? 2.4 : 1.1, "stroke-opacity": chosen ? 1 : .75 };
    if (message.fate === "lost" || message.fate === "cut" && !message.came.length) {
      const cut = message.fate === "cut";
      const x = from + (to - from) * (cut ? .3 : .45), end = start + ROW * .9;
      const red = chosen ? colour : cut ? "var(--warn)" : "var(--bad)";
      return [
        make("line", { x1: from, y1: start, x2: x, y2: end, stroke: red, "stroke-dasharray": "3 3", ...more }),
        make("text", { x, y: end + 4, "text-anchor": "middle", style: `fill:${red}` }, cut ? "∥" : "✗"),
      ];
    }
    return message.came.flatMap((came, copy) =>
      arrow(from, start, to, y(rowOf[came]), colour, { ...more, ...(copy || message.fate === "flipped" ? { "stroke-dasharray": "5 3" } : {}) }));
  };

  // Only what is on the screen is drawn.
  const draw = () => {
    if (!$("sheet").clientWidth) return;
    const box = $("sheet").getBoundingClientRect();
    const from = Math.max(0, Math.floor((-box.top - 400) / ROW)), to = Math.min(visible.length, Math.ceil((window.innerHeight - box.top + 400) / ROW));
    const top = TOP + from * ROW, bottom = TOP + to * ROW;
    const parts = [];
    const band = (x, size, first, last, fill, title) => {
      const y1 = Math.max(top, y(first)), y2 = Math.min(bottom, y(last));
      if (y2 > y1) parts.push(make("rect", { x, y: y1, width: size, height: y2 - y1, fill }, make("title", {}, title)));
    };
    const lanes = [...shown.parties];
    const step = lanes.length ? (width - gutter - 16) / lanes.length : 0;
    for (const [number, first, last] of lasting) {
      const fault = noteOf(number);
      if (!fault) continue;
      const several = fault.groups.length > 1;
      fault.groups.forEach((group, place) => group.filter((party) => shown.parties.has(party)).forEach((party) => {
        if (several) band(laneX[party] - step * .46, step * .92, rowOf[first], rowOf[last], `var(--g${place % 4})`, `${fault.kind} (fault ${number})`);
        else if (fault.kind !== "crash") band(laneX[party] + step * .3, 5, rowOf[first], rowOf[last], "var(--warn)", `${fault.kind} (fault ${number})`);
      }));
    }
    for (const [party, first, last] of downs) if (shown.parties.has(party)) band(laneX[party] - step * .3, step * .6, rowOf[first], rowOf[last], "var(--down)", `${parties[party]} is down`);
    const chosenRow = rowOf[now];
    const chosenMessages = new Set(rows[chosenRow].shown?.map((index) => events[index].m).filter((m) => m !== undefined));
    const rowParts = [], arrows = [], over = [];
    for (const party of lanes) parts.push(make("line", { x1: laneX[party], x2: laneX[party], y1: top, y2: bottom, stroke: "var(--lane)" }));
    let stamp = null;
    for (let place = from; place < to; place++) {
      const row = rows[visible[place]], centre = TOP + (place + .5) * ROW;
      const group = make("g", { class: "row" + (visible[place] === chosenRow ? " now" : ""), "data-row": visible[place] });
      group.append(make("rect", { class: "hit", x: 0, y: centre - ROW / 2, width, height: ROW }));
      const label = row.t.toFixed(3);
      if (label !== stamp) group.append(make("text", { class: "t", x: gutter - 8, y: centre + 3.5, "text-anchor": "end" }, label));
      stamp = label;
      rowParts.push(group);
      const kinds = row.shown.map((index) => events[index].k);
      const kind = RANK.find((kind) => kinds.includes(kind));
      if (row.p >= 0 && kind) {
        const mark = make("text", { x: laneX[row.p], y: centre + 4, "text-anchor": "middle", "pointer-events": "none", style: `fill:${COLOURS[kind] ?? "var(--faint)"};font-size:${kind === "merged" || kind === "operation" ? 12 : 13}px` }, MARKS[kind]);
        if (kind === "objected") { mark.setAttribute("class", "objection"); }
        over.push(mark);
      }
      const note = row.shown.map((index) => events[index]).find((event) => event.k === "noted" || event.k === "objected" && row.p < 0);
      if (note) over.push(make("text", { class: note.k === "objected" ? "objection" : "note", x: gutter, y: centre + 4, "pointer-events": "none" }, note.x));
    }
    const seen = (message) => {
      if (!shown.parties.has(message.from) || !shown.parties.has(message.to) || !isShown(message.sent)) return false;
      const first = placeOf[rowOf[message.sent]], last = message.came.length ? placeOf[rowOf[message.came[message.came.length - 1]]] : first + 1;
      return last >= from && first <= to;
    };
    messages.forEach((message, index) => { if (seen(message) && !chosenMessages.has(index)) arrows.push(...drawMessage(message, false)); });
    chosenMessages.forEach((index) => { if (seen(messages[index])) arrows.push(...drawMessage(messages[index], true)); });
    const arrowsGroup = make("g", { "pointer-events": "none" }, ...arrows);
    $("diagram").replaceChildren(make("g", {}, ...parts.filter((part) => part.tagName === "rect")), make("g", {}, ...rowParts), make("g", { "pointer-events": "none" }, ...parts.filter((part) => part.tagName !== "rect")), arrowsGroup, make("g", {}, ...over));
  };

  // The state after an event: checkpoints on the way spare replaying all of it.
  const CHECKPOINT = 256;
  const checkpoints = [parties.map((_, party) => ({ up: false, began: false, busy: false, merged: new Set(), purged: new Set(), givenUp: 0, heads: [], values: new Map(), replica: party < data.replicas }))];
  const copy = (state) => state.map((one) => ({ ...one, merged: new Set(one.merged), purged: new Set(one.purged), values: new Map(one.values) }));
  const apply = (state, event) => {
    const one = state[event.p];
    if (!one) return;
    if (event.k === "started") {
      one.up = one.began = true;
      for (const block of event.n ?? []) one.merged.add(block);
      for (const block of event.l ?? []) one.merged.delete(block);
    }
    else if (event.k === "crashed") { one.up = false; if (event.a) { one.merged.clear(); one.purged.clear(); one.givenUp = 0; one.values.clear(); one.heads = []; } }
    else if (event.k === "decided") {
      one.purged = new Set(event.g);
      one.givenUp = event.d;
      for (const block of one.purged) one.merged.delete(block);
    }
    else if (event.k === "merged" && event.b !== undefined) one.merged.add(event.b);
    else if (event.k === "shows") {
      if (event.a) one.values.clear();
      one.busy = event.i === true;
      one.heads = event.h;
      for (const [key, value] of event.v) if (value === null) one.values.delete(key); else one.values.set(key, value);
    }
  };
  const stateAt = (index) => {
    const wanted = Math.floor((index + 1) / CHECKPOINT);
    while (checkpoints.length <= wanted) {
      const state = copy(checkpoints[checkpoints.length - 1]);
      const first = (checkpoints.length - 1) * CHECKPOINT;
      for (let at = first; at < first + CHECKPOINT; at++) if (events[at]) apply(state, events[at]);
      checkpoints.push(state);
    }
    const state = copy(checkpoints[wanted]);
    for (let at = wanted * CHECKPOINT; at <= index; at++) apply(state, events[at]);
    return state;
  };

  const link = (index, text) => html("a", { href: "#e" + index, textContent: text });
  const drawChosen = () => {
    const row = rows[rowOf[now]];
    const who = row.p >= 0 ? parties[row.p] : "all";
    const items = row.events.map((index) => {
      const event = events[index];
      const item = html("li", {}, link(index, "e" + index), " " + event.x);
      if (event.m !== undefined) {
        const message = messages[event.m];
        if (event.k === "sent") message.came.forEach((came) => item.append(" ", link(came, "→ comes at " + seconds(events[came].t))));
        else item.append(" ", message.says + " ", link(message.sent, "← sent at " + seconds(events[message.sent].t)));
      }
      if (event.b !== undefined && event.k === "merged") item.append(" ", link(blocks[event.b].made, "← made at " + seconds(events[blocks[event.b].made].t)));
      return item;
    });
    $("chosen").replaceChildren(html("b", { textContent: `${seconds(row.t)}  ${who}` }), html("ol", {}, ...items));
  };

  const drawState = () => {
    const state = stateAt(rows[rowOf[now]].end);
    const replicas = state.map((one, party) => ({ ...one, party })).filter((one) => one.replica && shown.parties.has(one.party));
    const keys = [...new Set(replicas.flatMap((one) => [...one.values.keys()]))].filter((key) => !search || key.toLowerCase().includes(search)).sort();
    const differs = (key) => new Set(replicas.filter((one) => one.up).map((one) => one.values.get(key))).size > 1;
    keys.sort((a, b) => differs(b) - differs(a) || (a < b ? -1 : 1));
    const head = (label, cell) => html("tr", {}, html("th", { textContent: label }), ...replicas.map(cell));
    const KEYS = 200;
    const rowsOfKeys = keys.slice(0, KEYS).map((key) => html("tr", { className: differs(key) ? "differ" : "" }, html("td", { className: "v", textContent: key, title: key }), ...replicas.map((one) => {
      const value = one.up ? one.values.get(key) : undefined;
      return html("td", { className: "v" + (value === undefined ? " faint" : ""), textContent: one.up ? value ?? "absent" : "", title: value ?? "" });
    })));
    const table = html("table", {},
      html("thead", {}, head("", (one) => html("th", { textContent: parties[one.party] }))),
      html("tbody", {},
        head("is", (one) => html("td", { textContent: one.up ? one.busy ? "up, in a task" : "up" : one.began ? "down" : "not there yet", className: one.up ? "" : one.began ? "bad" : "faint" })),
        head("blocks merged", (one) => html("td", { textContent: one.merged.size })),
        ...(replicas.some((one) => one.purged.size) ? [head("blocks purged", (one) => html("td", { textContent: one.purged.size }))] : []),
        ...(replicas.some((one) => one.givenUp) ? [head("blocks given up", (one) => html("td", { textContent: one.givenUp }))] : []),
        head("heads", (one) => html("td", { textContent: one.heads.length, title: one.heads.map((index) => blocks[index].id).join(" ") })),
        ...rowsOfKeys));
    const different = keys.filter(differs).length;
    const more = keys.length > KEYS ? `, the first ${KEYS} shown` : "";
    $("state").replaceChildren(
      html("h2", { textContent: "State at " + seconds(rows[rowOf[now]].t) }),
      html("p", { className: "faint", textContent: `${count(keys.length, "key")}${more}; ${different} of them ${different === 1 ? "differs" : "differ"} between replicas` }),
      html("div", { className: "scroll" }, table));
  };

  const drawDag = () => {
    const end = rows[rowOf[now]].end, state = stateAt(end);
    const made = blocks.map((block, index) => ({ ...block, index })).filter((block) => block.made <= end && shown.parties.has(block.author));
    const up = state.filter((one) => one.replica);
    const SHOWN = 400;
    const list = made.slice(-SHOWN);
    const box = Math.max(260, $("dag").clientWidth - 4), stepX = (box - 20) / parties.length, stepY = 30;
    const levels = new Map(), place = new Map();
    const heights = [...new Set(list.map((block) => block.height))].sort((a, b) => b - a);
    heights.forEach((height, row) => levels.set(height, row));
    const used = new Map();
    for (const block of list) {
      const slot = block.author + ":" + block.height, n = used.get(slot) ?? 0;
      used.set(slot, n + 1);
      place.set(block.index, [10 + stepX * (block.author + .5) + (n % 3) * 14 - (n ? 7 : 0), 28 + levels.get(block.height) * stepY + (n % 2) * 6]);
    }
    const parts = [];
    for (const block of list) for (const parent of block.links) {
      const a = place.get(block.index), b = place.get(parent);
      if (b) parts.push(make("path", { class: "edge", d: `M${a[0]},${a[1]} C${a[0]},${(a[1] + b[1]) / 2} ${b[0]},${(a[1] + b[1]) / 2} ${b[0]},${b[1]}` }));
    }
    for (const block of list) {
      const [x, cy] = place.get(block.index), by = up.filter((one) => one.merged.has(block.index)).length;
      const gone = up.filter((one) => one.purged.has(block.index)).length;
      const isHead = up.some((one) => one.up && one.heads.includes(block.index));
      const fill = block.priority === null ? "var(--bad)" : by === up.length ? "var(--good)" : by > 1 ? "var(--warn)" : "var(--accent)";
      const writes = [...block.puts.map(([key, value]) => `put ${key} = ${value}`), ...block.removes.map(([key, of]) => `remove ${key} of ${of}`)].slice(0, 12).join("\n");
      const hit = search && (block.id.includes(search) || writes.toLowerCase().includes(search));
      const node = make("g", { class: "blk", "data-event": block.made }, make("circle", { cx: x, cy, r: hit ? 8 : 5.5, fill, stroke: isHead || hit ? "var(--text)" : "none", "stroke-width": 2 }),
        make("title", {}, `${block.id} of ${parties[block.author]}, height ${block.height}, priority ${block.priority ?? "none: void"}\nmerged by ${by} of ${up.length} replicas${gone ? `, purged by ${gone}` : ""}${isHead ? ", a head" : ""}\n${writes}`));
      parts.push(node);
    }
    const labels = parties.map((name, party) => make("text", { x: 10 + stepX * (party + .5), y: 10, "text-anchor": "middle" }, name.slice(0, Math.max(3, stepX / 7))));
    const height = 46 + heights.length * stepY;
    $("dag").replaceChildren(
      html("h2", { textContent: "DAG at " + seconds(rows[rowOf[now]].t) }),
      html("p", { className: "faint", textContent: `${count(made.length, "block")}${made.length > SHOWN ? `, the last ${SHOWN} shown` : ""}; youngest on top. Green: all have merged it; orange: some; blue: only one or none; red: void. Outlined: a head somewhere.` }),
      make("svg", { viewBox: `0 0 ${box} ${height}`, height, role: "img", "aria-label": "the DAG" }, ...labels, ...parts));
  };

  const drawPanels = () => {
    drawChosen();
    const tab = document.body.dataset.tab;
    if (tab === "dag") drawDag(); else drawState();
    $("slider").value = now;
    $("when").textContent = `${seconds(events[now].t)} · e${now}`;
  };
  // What is shown has changed; the chosen moment stays where it can be seen.
  const again = () => { layout(); drawPanels(); toNow(); };
  let asked = false;
  const later = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };
  const toNow = () => {
    if (!$("sheet").clientWidth) return;
    const box = $("sheet").getBoundingClientRect(), at = box.top + y(rowOf[now]);
    if (at < 190 || at > window.innerHeight * .62) window.scrollBy(0, at - window.innerHeight * .4);
  };
  const choose = (index, scroll) => {
    now = Math.max(0, Math.min(events.length - 1, index));
    history.replaceState(null, "", "#e" + now);
    if (scroll) toNow();
    drawPanels();
    later();
  };
  const step = (by) => {
    let at = placeOf[rowOf[now]] + by;
    at = Math.max(0, Math.min(visible.length - 1, at));
    if (visible[at] !== undefined) choose(rows[visible[at]].shown[0], true);
  };
  const fromHash = () => {
    const found = /^#e(\d+)$/.exec(location.hash);
    if (found && Number(found[1]) !== now) choose(Number(found[1]), true);
  };

  // The page.
  $("title").textContent = `${data.scenario}${data.seed === null ? "" : ", seed " + data.seed}`;
  $("verdict").textContent = data.verdict;
  $("verdict").className = data.outcome === "passed" ? "good" : "bad";
  // Events that the story names are links.
  const linked = (text) => text.split(/(event \d+)/).map((part) => /^event \d+$/.test(part) ? link(part.slice(6), part) : part);
  if (data.story.length) $("story").querySelector("pre").append(...linked(data.story.join("\n"))); else $("story").remove();
  const about = { what: data.description, replicas: data.replicas, events: events.length, messages: messages.length, blocks: blocks.length, faults: faults.map((fault) => `${fault.kind} at ${seconds(fault.at / 1e9)}`).join(", "), trace: data.trace, commit: data.commit };
  for (const key in about) if (about[key] !== "" && about[key] !== null) $("about").querySelector("dl").append(html("dt", { textContent: key }), html("dd", { textContent: about[key] }));
  $("legend").textContent = "● operation  ◆ merge  ✓ acknowledged  – sync  · timer  ✗ crash  ▲ start  ⚑ objection. Arrows: blue announcement, grey request, green block, brown “not found”; dashed second copy; ✗ lost; ∥ stopped; violet a bit flipped, or chosen. Bands: red down, tinted lanes parted, a brown edge another fault.";
  const box = (set, value, label) => {
    const input = html("input", { type: "checkbox", checked: set.has(value) });
    input.addEventListener("change", () => { if (input.checked) set.add(value); else set.delete(value); again(); });
    return html("label", {}, input, " " + label);
  };
  $("filter-list").append(
    html("b", { textContent: "Events" }), ...KINDS.map((kind) => box(shown.kinds, kind, kind)),
    html("b", { textContent: "Messages" }), ...MESSAGES.map((kind) => box(shown.messages, kind, kind)),
    html("b", { textContent: "Fates" }), ...Object.keys(FATES).map((fate) => box(shown.fates, fate, FATES[fate])),
    html("b", { textContent: "Parties" }), ...parties.map((name, party) => box(shown.parties, party, name)));
  $("slider").max = events.length - 1;
  $("slider").addEventListener("input", () => choose(Number($("slider").value), true));
  $("back").addEventListener("click", () => step(-1));
  $("forward").addEventListener("click", () => step(1));
  $("search").addEventListener("input", () => { search = $("search").value.trim().toLowerCase(); again(); });
  $("diagram").addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) choose(rows[Number(row.dataset.row)].shown[0], false);
  });
  $("dag").addEventListener("click", (event) => {
    const block = event.target.closest("[data-event]");
    if (block) choose(Number(block.dataset.event), true);
  });
  $("tabs").addEventListener("click", (event) => {
    const tab = event.target.closest("[data-tab]");
    if (!tab) return;
    const chosen = document.body.dataset.tab === tab.dataset.tab && tab.dataset.tab !== "time" ? tab.dataset.tab : tab.dataset.tab;
    document.body.dataset.tab = chosen;
    for (const other of $("tabs").children) other.setAttribute("aria-selected", String(other === tab));
    if (chosen === "time") again(); else drawPanels();
  });
  document.addEventListener("click", (event) => { if (!event.target.closest("#filters")) $("filters").open = false; });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input[type=search]")) return;
    if (event.key === "j" || event.key === "ArrowRight" && !event.target.matches("input")) { step(1); event.preventDefault(); }
    if (event.key === "k" || event.key === "ArrowLeft" && !event.target.matches("input")) { step(-1); event.preventDefault(); }
  });
  window.addEventListener("scroll", later, { passive: true });
  window.addEventListener("resize", layout);
  window.addEventListener("hashchange", fromHash);
  document.body.dataset.tab = window.innerWidth > 760 ? "state" : "time";
  for (const tab of $("tabs").children) tab.setAttribute("aria-selected", String(tab.dataset.tab === document.body.dataset.tab));
  layout();
  const objection = events.findLastIndex((event) => event.k === "objected");
  const asHash = /^#e(\d+)$/.exec(location.hash);
  if (asHash) choose(Number(asHash[1]), true);
  else choose(objection >= 0 ? objection : 0, objection >= 0 && rows.length < 60);
})();
