// What the page of the fleet says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Fleet", none: "No box is registered: vitalwire registry edge add.", summary: (flows, n) => `Data flows from ${flows} of ${n} boxes`,
    aboutGreen: "Green: values of its devices came within two minutes, and none waits longer than 30 s. That an agent runs makes no box green.",
    states: { flows: "data flows", late: "data comes late", refused: "its batches are refused", no_values: "no device of it says a value", unheard: "not heard", never: "never heard" },
    refused: n => `${n} batches are refused: its key has expired or was revoked (vitalwire registry edge list), or the box is newer than the processors (its log says which). They are kept on the box.`,
    noValues: past => past ? `The agent is heard; the newest value of a device is ${past} old.` : "The agent is heard; no device ever said a value.",
    facts: { ward: "Ward", version: "Version", certificate: "Certificate ends", key: "Key ends", clock: "Clock", disk: "Free disk", spool: "Spool", oldest: "Oldest unsent", heard: "Last heard" },
    unknown: "not known", never: "never", noEnd: "never", older: v => `${v}, not the hospital’s version`, left: days => days < 0 ? "is over" : `in ${days} d`,
    spool: (used, quota, waiting, unreceipted) => `${used} of ${quota}; ${waiting} ${waiting === 1 ? "report waits" : "reports wait"}, ${unreceipted} ${unreceipted === 1 ? "batch" : "batches"} without a receipt`, room: text => `room for ${text}`,
    ago: past => `${past} ago`, said: past => `it said so ${past} ago`, seconds: s => `${s} s`, hours: h => `${h} h`,
    devices: n => n === 1 ? "1 device" : `${n} devices`, columns: ["device", "bed", "last good value"], nowhere: "on no bed",
  },
  zh: {
    title: "采集主机", none: "尚未登记采集主机：vitalwire registry edge add。", summary: (flows, n) => `${n} 台主机中 ${flows} 台数据正常`,
    aboutGreen: "绿色：两分钟内收到其设备的数值，且没有数据等待超过 30 秒。仅程序在运行不算正常。",
    states: { flows: "数据正常", late: "数据延迟", refused: "数据被拒收", no_values: "所接设备均无数值", unheard: "失去联系", never: "从未收到数据" },
    refused: n => `${n} 批数据被拒收：密钥已过期或被吊销（vitalwire registry edge list），或主机版本比处理程序新（见主机日志）。数据仍保存在主机上。`,
    noValues: past => past ? `程序有响应；设备最新数值已是 ${past} 前。` : "程序有响应；设备从未上报数值。",
    facts: { ward: "病区", version: "版本", certificate: "证书到期", key: "密钥到期", clock: "时钟偏差", disk: "磁盘剩余", spool: "缓存", oldest: "最早未发送", heard: "最近收到" },
    unknown: "未知", never: "从未", noEnd: "长期有效", older: v => `${v}，与院端版本不一致`, left: days => days < 0 ? "已到期" : `剩 ${days} 天`,
    spool: (used, quota, waiting, unreceipted) => `${used} / ${quota}；${waiting} 条待发送，${unreceipted} 批未获回执`, room: text => `可再存 ${text}`,
    ago: past => `${past} 前`, said: past => `${past} 前上报`, seconds: s => `${s} 秒`, hours: h => `${h} 小时`,
    devices: n => `${n} 台设备`, columns: ["设备", "床位", "最近有效数值"], nowhere: "未上床",
  },
};

export const fleetWords = () => WORDS[language];
