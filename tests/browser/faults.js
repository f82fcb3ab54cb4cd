() => {
  const found = [];
  const name = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.className}[${element.name ?? ""}]`;
  const isSeen = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1;
  };

  // Nothing is wider than the window.
  if (document.documentElement.scrollWidth > innerWidth + 1) found.push(`wider than the window: ${document.documentElement.scrollWidth}`);

  // Text stands out from what is behind it, 4.5 to 1 (WCAG 2.2, 1.4.3), large text 3 to 1.
  const channels = (color) => {
    const [red, green, blue, alpha] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha: alpha ?? 1 };
  };
  const over = ({ rgb, alpha }, below) => rgb.map((value, place) => value * alpha + below[place] * (1 - alpha));
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(channels(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [red, green, blue] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (element, style) => {
    const below = behind(element);
    let alpha = channels(style.color).alpha * Number(style.opacity);
    for (let each = element; each; each = each.parentElement) alpha *= Number(getComputedStyle(each).opacity);
    const [dark, bright] = [light(over({ rgb: channels(style.color).rgb, alpha }, below)), light(below)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const judge = (element, style, words) => {
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ratio = contrast(element, style);
    if (ratio < needed) found.push(`${ratio.toFixed(2)} to 1: ${name(element)} ${words}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !isSeen(element)) continue;
    if (element.closest("option, template, .visually-hidden, :disabled")) continue;
    judge(element, { ...styleOf(element), opacity: 1 }, texts.currentNode.textContent.trim().slice(0, 40));
  }
  function styleOf(element) {
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    return { color, fontSize, fontWeight };
  }
  for (const input of document.querySelectorAll("[placeholder]")) {
    if (isSeen(input)) judge(input, getComputedStyle(input, "::placeholder"), "placeholder");
  }

  // Inputs have labels, buttons and links have names, what describes something is there, and an id is one thing's.
  for (const input of document.querySelectorAll("input:not([type=hidden], [type=submit]), select, textarea")) {
    const pictures = [...(input.labels ?? [])].flatMap((label) => [...label.querySelectorAll("img")].map((image) => image.alt));
    const labels = [...(input.labels ?? [])].map((label) => label.textContent.trim());
    const own = [input.getAttribute("aria-label"), input.getAttribute("aria-labelledby")];
    if (isSeen(input) && ![...labels, ...pictures, ...own].some(Boolean)) found.push(`no label: ${name(input)}`);
  }
  for (const element of document.querySelectorAll("a, button, summary")) {
    const words = element.textContent.trim() || element.getAttribute("aria-label") || element.title;
    if (isSeen(element) && !words) found.push(`no name: ${name(element)}`);
    if (element.matches("a:not([href]), a[href=''], a[href='#']")) found.push(`leads nowhere: ${name(element)}`);
  }
  for (const attribute of ["aria-describedby", "aria-labelledby"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) found.push(`${attribute} ${id} is not there: ${name(element)}`);
      }
    }
  }
  for (const errors of document.querySelectorAll(".errorlist:not(.nonfield)")) {
    if (!errors.id || !document.querySelector(`[aria-describedby~="${errors.id}"]`)) found.push(`nobody's error: ${errors.textContent.trim()}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((each, place) => ids.indexOf(each) !== place))) found.push(`two of #${id}`);
  if (document.querySelectorAll("h1").length !== 1) found.push("not one heading of the first level");
  return found;
}
