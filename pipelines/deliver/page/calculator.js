"use strict";
// The best so many leads for a budget: what the curve says of them, with the same range as the rest of the page.
const data = JSON.parse(document.getElementById("curve").textContent);
const field = (name) => document.getElementById(name);
const format = (value, digits) => value.toLocaleString(data.language, {minimumFractionDigits: digits, maximumFractionDigits: digits});

function at(leads) {
  const points = data.curve;
  let place = points.findIndex((one) => one[0] >= leads);
  if (place <= 0) return place === 0 ? [0, 0] : points[points.length - 1].slice(1);
  const [from, to] = [points[place - 1], points[place]];
  const share = (leads - from[0]) / (to[0] - from[0]);
  return [1, 2].map((side) => from[side] + share * (to[side] - from[side]));
}

function told() {
  const budget = Math.max(0, Number(field("budget").value) || 0);
  const cost = Number(field("cost").value) || 0;
  const most = data.curve[data.curve.length - 1][0];
  const leads = cost > 0 ? Math.min(most, Math.floor(budget / cost + 1e-9)) : most;
  const [total, variance] = at(leads);
  const value = Math.min(total * data.ratio, leads);
  const reach = data.z * Math.sqrt(Math.max(variance, 0) * data.ratio + (total * data.error) ** 2);
  field("leads").textContent = format(leads, 0);
  field("conversions").textContent = format(value, 1);
  field("range").textContent = data.range
    .replace("{low}", format(Math.max(0, value - reach), 1))
    .replace("{high}", format(Math.min(leads, value + reach), 1));
  field("each").textContent = value > 0 ? format(leads * cost / value, 2) : "–";
  field("whole").hidden = leads < most || most === 0;
}

for (const name of ["budget", "cost"]) field(name).addEventListener("input", told);
told();
