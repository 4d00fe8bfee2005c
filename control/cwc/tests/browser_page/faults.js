(() => {
  const faults = [];
  const width = window.innerWidth;
  if (document.documentElement.scrollWidth > width) {
    faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  }
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
      if (colour[3] !== 0) faults.push("a ground that is half seen through");
    }
    return [255, 255, 255, 255];
  };
  const luminance = ([r, g, b]) => {
    const part = (value) => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const text = node.data.trim();
    const element = node.parentElement;
    // The title of a shape is shown by the browser itself.
    if (!text || element.tagName === "title" || !element.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (box.left < 0 || box.right > width) faults.push(`cut off: ${text}`);
    const style = getComputedStyle(element);
    const inSvg = element instanceof SVGElement;
    const scale = inSvg ? element.getScreenCTM().a : 1;
    const size = parseFloat(style.fontSize) * scale;
    if (size < 10) faults.push(`${size.toFixed(1)} px: ${text}`);
    const ink = parse(inSvg ? style.fill : style.color);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight, 10) >= 700);
    const ratio = contrast(ink, ground(inSvg ? element.closest("section") : element));
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${text}`);
  }
  for (const element of document.querySelectorAll("a, button, input, textarea, summary")) {
    const box = element.getBoundingClientRect();
    if (element.type === "hidden" || !element.checkVisibility()) continue;
    if (box.right > width) faults.push(`cut off: ${element.outerHTML}`);
    const inline = element.tagName === "A" && !element.classList.contains("button");
    if (box.height < 24 && !inline) faults.push(`${box.height} px high: ${element.outerHTML}`);
    const named = element.innerText || element.labels?.length || element.ariaLabel;
    if (!named) faults.push(`no name: ${element.outerHTML}`);
  }
  for (const element of document.querySelectorAll("*")) {
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) {
      const style = getComputedStyle(element);
      if (style.overflowX !== "visible" && element.tagName !== "TEXTAREA" && element.tagName !== "INPUT") {
        faults.push(`scrolls sideways: ${element.tagName}.${element.className}`);
      }
    }
  }
  return faults;
})()
