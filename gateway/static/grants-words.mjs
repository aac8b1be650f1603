// What the page of access says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Access", reason: "Reason", done: "Done.", end: "End now", toStay: "who has access to this stay", oneself: "by one's own word",
    labels: { "stay-label": "Who may see a stay: visit number", "stay-go": "Show", "give-staff-label": "To: staff number", "give-relation-label": "As", "give-hours-label": "For how long",
      "give-reason-label": "Reason", "give-go": "Give access", "copies-title": "Custody copies", "copies-about": "What was sealed, and which side confirmed its list. A copy is made by the command “vitalwire custody”.",
      "mine-title": "My wards", "shift-ward-label": "I work on this ward now", "shift-hours-label": "For how long", "shift-go": "Begin the shift", "own-title": "My access to single stays",
      "trainees-title": "My trainees", "restricted-title": "Restricted records", "restrict-patient-label": "Patient number", "restrict-reason-label": "Reason", "restrict-go": "Restrict",
      "second-title": "Waits for a second person" },
    stay: visit => `Access to ${visit}`, restrictedStay: "This record is a restricted one.", noGrant: "Nobody was given access to this stay.",
    noCopy: "No custody copy was made of this stay.", noShift: "No shift on another ward.", noOwn: "None beyond my wards.", noRecord: "No record is restricted.", noRequest: "Nothing waits.",
    wards: names => names.length ? `wards: ${names.join(", ")}` : "no ward", long: h => h % 24 ? `${h} h` : h === 24 ? "1 day" : `${h / 24} days`,
    span: (since, until) => `${since} until ${until}`, until: at => `until ${at}`, since: at => `since ${at}`, ended: at => `ended ${at}`, over: "over", because: (by, reason) => `${by}: ${reason}`,
    part: (n, copy) => `Part ${n} · ${copy}`, made: (at, n) => `made ${at} · ${n} versions of entries`, recorded: (since, until) => since ? `recorded from ${since} to ${until}` : `recorded until ${until}`,
    sides: { hospital: "hospital", patient: "patient" }, side: (side, has) => has ? `${side}: confirmed` : `${side}: not confirmed yet`, lift: "Lift",
    agree: "Agree", decline: "Decline", takeBack: "Take back", asked: (by, at, why) => `asked by ${by}, ${at}${why ? `: ${why}` : ""}`, agreed: by => `${by} agreed`,
    kinds: { staff_file: "A staff file that ends half of the staff", custody_copy: "Open a custody copy", access_table: "Change the access table", bulk_export: "Export in bulk" },
    refused: { no_reason: "Give a reason.", ends_too_early: "That end is over already.", ends_too_late: "That is too long.", no_relation: "That cannot be given.", no_staff: "Nobody of this number works here.",
      to_oneself: "Nobody gives access to himself.", not_in_pool: "That ward is not in your pool.", ended_already: "It has ended already.", restricted_already: "This record is restricted already.",
      not_restricted: "This record is not restricted.", not_there: "There is none of this number, or you may not see it.", not_asked: "Nobody asked for this.",
      same_person: "Who asked cannot agree: it takes another person.", too_late: "It was asked too long ago.", answered_already: "Somebody answered already." },
  },
  zh: {
    title: "访问授权", reason: "原因", done: "已完成。", end: "立即结束", toStay: "谁可查看此次就诊", oneself: "本人",
    labels: { "stay-label": "查询就诊的授权：就诊号", "stay-go": "查询", "give-staff-label": "授权给：工号", "give-relation-label": "关系", "give-hours-label": "时长",
      "give-reason-label": "原因", "give-go": "授权", "copies-title": "封存件", "copies-about": "已封存的内容，以及哪一方已确认清单。封存件由命令 vitalwire custody 制作。",
      "mine-title": "我的病区", "shift-ward-label": "本班次所在病区", "shift-hours-label": "时长", "shift-go": "开始班次", "own-title": "我对个别就诊的访问权限",
      "trainees-title": "我带教的人员", "restricted-title": "受限病历", "restrict-patient-label": "患者号", "restrict-reason-label": "原因", "restrict-go": "设为受限",
      "second-title": "等待第二人同意" },
    stay: visit => `${visit} 的访问授权`, restrictedStay: "此为受限病历。", noGrant: "此次就诊未授权给任何人。",
    noCopy: "此次就诊没有封存件。", noShift: "未在其他病区值班。", noOwn: "除本病区外，无。", noRecord: "没有受限病历。", noRequest: "没有待处理事项。",
    wards: names => names.length ? `病区：${names.join("、")}` : "无病区", long: h => h % 24 ? `${h} 小时` : `${h / 24} 天`,
    span: (since, until) => `${since} 至 ${until}`, until: at => `至 ${at}`, since: at => `自 ${at}`, ended: at => `已于 ${at} 结束`, over: "已到期", because: (by, reason) => `${by}：${reason}`,
    part: (n, copy) => `第 ${n} 部分 · ${copy}`, made: (at, n) => `制作于 ${at} · ${n} 个记录版本`, recorded: (since, until) => since ? `记录时间 ${since} 至 ${until}` : `记录时间截至 ${until}`,
    sides: { hospital: "医方", patient: "患方" }, side: (side, has) => has ? `${side}：已确认` : `${side}：尚未确认`, lift: "解除",
    agree: "同意", decline: "不同意", takeBack: "撤回", asked: (by, at, why) => `${by} 于 ${at} 申请${why ? `：${why}` : ""}`, agreed: by => `${by} 已同意`,
    kinds: { staff_file: "将使半数人员离职的人员文件", custody_copy: "启封封存件", access_table: "更改权限表", bulk_export: "批量导出" },
    refused: { no_reason: "请填写原因。", ends_too_early: "结束时间已过。", ends_too_late: "时间过长。", no_relation: "不能授予此关系。", no_staff: "没有此工号的在职人员。",
      to_oneself: "不能给自己授权。", not_in_pool: "该病区不在您的机动病区内。", ended_already: "已经结束。", restricted_already: "此病历已是受限病历。",
      not_restricted: "此病历不是受限病历。", not_there: "没有此号码，或您无权查看。", not_asked: "没有此项申请。",
      same_person: "申请人不能自己同意：须由另一人同意。", too_late: "申请已过期。", answered_already: "他人已答复。" },
  },
};

export const grantsWords = () => WORDS[language];
