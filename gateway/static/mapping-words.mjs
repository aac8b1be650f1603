// What the page of parameters says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Mapping", none: "No device has said anything yet.", summary: (mapped, n) => `${mapped} of ${n} parameters heard within a day have a code`,
    about: "What has no code is kept, and not shown as what it is. A proposal is by name and unit; a person who knows the device decides: vitalwire mapping set site.toml --code CODE --metric METRIC.",
    coverage: (mapped, unmapped, doubt) => `${mapped} mapped, ${unmapped} unmapped, ${doubt} with a unit in doubt`,
    parameters: n => n === 1 ? "1 parameter" : `${n} parameters`, columns: ["parameter", "state", "unit", "samples", "count", "heard", "may be"],
    states: { mapped: "mapped", unmapped: "unmapped", "unit-in-doubt": "unit in doubt" }, ago: past => `${past} ago`,
    proposal: (of, why) => `${of.short}, ${of.metric} (${of.percent} %): ${why}`, nowhere: "on no bed",
  },
  zh: {
    title: "参数映射", none: "尚无设备上报数据。", summary: (mapped, n) => `一天内上报的 ${n} 个参数中 ${mapped} 个已有标准代码`,
    about: "没有代码的数据照常保存，但不会作为该参数显示。建议依据名称和单位给出，由熟悉设备的人员决定：vitalwire mapping set site.toml --code 代码 --metric 标准名称。",
    coverage: (mapped, unmapped, doubt) => `已映射 ${mapped}，未映射 ${unmapped}，单位存疑 ${doubt}`,
    parameters: n => `${n} 个参数`, columns: ["参数", "状态", "单位", "样本", "数量", "最近", "可能是"],
    states: { mapped: "已映射", unmapped: "未映射", "unit-in-doubt": "单位存疑" }, ago: past => `${past} 前`,
    proposal: (of, why) => `${of.short}，${of.metric}（${of.percent}%）：${why}`, nowhere: "未上床",
  },
};

export const mappingWords = () => WORDS[language];
