// What the page of deliveries says, and the line of an entry that says where a version went; in both languages.
import { stamp } from "/time.mjs";
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Deliveries", none: "No destination has begun: write a [[destination]] in processors.toml.",
    states: { parked: "Parked", waiting: "Waiting", accepted: "Accepted", skipped: "Skipped" }, all: "All",
    shown: "Which", of: "Destination", nothing: { parked: "Nothing is parked.", waiting: "Nothing waits.", accepted: "Nothing was accepted yet.",
      skipped: "Nothing was skipped." },
    served: "is served", paused: at => `paused since ${at}`, away: (at, why) => `no answer since ${at}: ${why}`,
    accepted: (n, at) => `${n} accepted${at ? `, the last at ${at}` : ""}`, waiting: (n, old) => `${n} ${n === 1 ? "waits" : "wait"}${old ? `, the oldest for ${old}` : ""}`,
    parked: n => `${n} parked`, pause: "Pause", resume: "Resume", retry: "Send again", anew: "Make anew and send", skip: "Skip",
    why: "Why (needed to skip)", whyPause: "Why", delivery: n => `delivery ${n}`, slot: at => `charted for ${at}`,
    entries: n => `${n} ${n === 1 ? "entry" : "entries"}`, attempts: n => n === 1 ? "sent once" : `sent ${n} times`, behind: n => `waits for delivery ${n}, which is parked`,
    later: at => `sent again at ${at}`, due: "next to go", as: id => `as ${id}`, chart: "chart", older: "Older", newest: "Newest",
    done: { pause: name => `${name} is paused; what comes waits.`, resume: name => `${name} is served again.`, retry: n => `Delivery ${n} waits to be sent.`,
      "retry-anew": n => `Delivery ${n} is made anew and waits to be sent.`, skip: n => `Delivery ${n} is skipped.` },
    sent: { accepted: (name, at, id) => `delivered to ${name} at ${at} as ${id}`, waiting: name => `waits for ${name}`, parked: name => `parked for ${name}`,
      skipped: name => `not sent to ${name}` },
    refused: { no_reason: "Say why it is skipped: it stands in the record.", changed: "It is not so any more: somebody was faster. Look again, then decide." },
  },
  zh: {
    title: "外发", none: "尚未启用任何目的系统：请在 processors.toml 中写入 [[destination]]。",
    states: { parked: "已搁置", waiting: "等待", accepted: "已接收", skipped: "已跳过" }, all: "全部",
    shown: "显示", of: "目的系统", nothing: { parked: "没有搁置的消息。", waiting: "没有等待的消息。", accepted: "尚无已接收的消息。", skipped: "没有跳过的消息。" },
    served: "正常发送", paused: at => `自 ${at} 起暂停`, away: (at, why) => `自 ${at} 起无应答：${why}`,
    accepted: (n, at) => `已接收 ${n} 条${at ? `，最近 ${at}` : ""}`, waiting: (n, old) => `等待 ${n} 条${old ? `，最久 ${old}` : ""}`,
    parked: n => `搁置 ${n} 条`, pause: "暂停", resume: "恢复", retry: "重新发送", anew: "重新生成并发送", skip: "跳过",
    why: "原因（跳过时必填）", whyPause: "原因", delivery: n => `消息 ${n}`, slot: at => `记录时间 ${at}`,
    entries: n => `${n} 项记录`, attempts: n => `已发送 ${n} 次`, behind: n => `等待已搁置的消息 ${n}`,
    later: at => `${at} 再次发送`, due: "即将发送", as: id => `消息号 ${id}`, chart: "护理记录", older: "更早", newest: "最新",
    done: { pause: name => `${name} 已暂停，新内容将等待。`, resume: name => `${name} 已恢复发送。`, retry: n => `消息 ${n} 等待发送。`,
      "retry-anew": n => `消息 ${n} 已重新生成，等待发送。`, skip: n => `消息 ${n} 已跳过。` },
    sent: { accepted: (name, at, id) => `已于 ${at} 送达 ${name}，消息号 ${id}`, waiting: name => `等待发送至 ${name}`, parked: name => `发送至 ${name} 已搁置`,
      skipped: name => `未发送至 ${name}` },
    refused: { no_reason: "请填写跳过的原因：原因将记录在案。", changed: "情况已变：他人已先处理。请重新查看后再决定。" },
  },
};

export const deliveryWords = () => WORDS[language];

// Where a version went, in a line.
export function deliveryText(each) {
  const w = deliveryWords(), line = w.sent[each.state](each.destination, each.settled === null ? "" : stamp(each.settled), each.message);
  const why = each.state === "accepted" ? "" : each.behind !== null ? w.behind(each.behind) : each[language];
  return why ? `${line}${language === "zh" ? "：" : ": "}${why}` : line;
}
