'use strict';

// Lists what is being streamed, and looks again every three seconds while the page is seen.

const summary = document.getElementById('summary');
const list = document.getElementById('streams');

function viewers(count) {
  return count === 1 ? '1 viewer' : `${count} viewers`;
}

function entry(stream) {
  const link = document.createElement('a');
  link.href = `./${encodeURIComponent(stream.name)}`;
  const title = document.createElement('strong');
  title.textContent = stream.title || stream.name;
  const details = document.createElement('small');
  details.textContent = [stream.description, viewers(stream.viewers)].filter(Boolean).join(' · ');
  link.append(title, details);
  const item = document.createElement('li');
  item.append(link);
  return item;
}

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch('api/streams', { cache: 'no-store' });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const { streams } = await response.json();
    const focused = document.activeElement?.getAttribute?.('href');
    list.replaceChildren(...streams.map(entry));
    if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    summary.textContent = streams.length ? 'Choose a stream to watch.' : 'Nothing is being streamed.';
  } catch (error) {
    summary.textContent = `The list cannot be loaded: ${error.message}. Trying again.`;
  }
}

document.addEventListener('visibilitychange', refresh);
setInterval(refresh, 3000);
refresh();
