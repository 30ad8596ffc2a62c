'use strict';
// Time in words, and where a moment stands between 0 and 1: in proportion, or with idle time folded
// (each pause counts by the logarithm of its length, so that hours of backoff leave room for the
// milliseconds around them).
const inWords = (us) => {
  const sign = us < 0 ? '-' : '';
  let ms = Math.abs(us) / 1000;
  const h = Math.floor(ms / 3600000); ms -= h * 3600000;
  const m = Math.floor(ms / 60000); ms -= m * 60000;
  const s = Number((ms / 1000).toFixed(ms < 1000 ? 4 : 3));
  return sign + ((h ? h + 'h' : '') + (m ? m + 'm' : '') + (s || (!h && !m) ? s + 's' : ''));
};

const scaleOf = (moments, end, folded) => {
  const times = [...new Set([0, ...moments, end])].sort((a, b) => a - b);
  const weigh = folded ? (gap) => 1 + Math.log2(1 + gap / 1000) : (gap) => gap;
  const places = [0];
  for (let n = 1; n < times.length; n++) places.push(places[n - 1] + weigh(times[n] - times[n - 1]));
  const whole = places[places.length - 1] || 1;
  const below = (list, value) => {
    let low = 0, high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle] <= value) low = middle; else high = middle - 1;
    }
    return low;
  };
  const between = (from, to, value) => {
    const n = Math.min(below(from, value), from.length - 2);
    if (n < 0) return 0;
    const share = (value - from[n]) / ((from[n + 1] - from[n]) || 1);
    return to[n] + Math.max(0, Math.min(1, share)) * (to[n + 1] - to[n]);
  };
  return {
    place: (time) => between(times, places, time) / whole,
    time: (place) => between(places, times, place * whole),
  };
};
